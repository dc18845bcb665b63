import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [react()],
  // The dev server gives out files of this folder alone. The codes of errors lie in the docs.
  server: { fs: { allow: [".", "../../docs/clients"] } },
});

import { addTypenameSelectionDocumentTransform } from "@graphql-codegen/client-preset";
import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql",
  documents: "src/**/*.{ts,tsx}",
  ignoreNoDocuments: false,
  generates: {
    "src/gql/": {
      preset: "client",
      // A manifest of all documents by their hash: the gateway's trusted documents.
      presetConfig: { persistedDocuments: true, fragmentMasking: false },
      // Apollo Client adds `__typename` before it sends a document. The manifest needs it, too.
      documentTransforms: [addTypenameSelectionDocumentTransform],
      config: {
        // How the scalars are written in JSON. Without this, their type is `any`.
        scalars: { ID: "string", DateTime: "string", SafeInt: "number", _Any: "never" },
        strictScalars: true,
        enumsAsTypes: true,
        useTypeImports: true,
      },
    },
  },
};

export default config;

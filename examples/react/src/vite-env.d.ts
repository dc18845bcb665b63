/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** Address of the gateway's endpoint; that of the demo when absent. */
  readonly VITE_GATEWAY_URL?: string;
}

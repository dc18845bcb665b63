/// <reference types="vite/client" />

interface ImportMetaEnv {
  /** Address of the gateway's endpoint; that of the demo when absent. */
  readonly VITE_GATEWAY_URL?: string;
  /** "true" to send the hashes of documents only. */
  readonly VITE_TRUSTED_DOCUMENTS?: string;
}

import { defineConfig } from '@graphql-hive/gateway';

export const gatewayConfig = defineConfig({
  landingPage: false,
  graphiql: false,
  logging: 'error',
  disableWebsockets: true,
  maskedErrors: true,
});

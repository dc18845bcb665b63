// An identity provider that issues tokens to one client. It prints its address on the first line.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [algorithm, audience] = process.argv.slice(2);
const [kind, options] = algorithm.startsWith('ES')
  ? ['ec', { namedCurve: 'P-256' }]
  : ['rsa', { modulusLength: 2048 }];
const key = generateKeyPairSync(kind, options).privateKey.export({ format: 'jwk' });
const resource = 'https://gateway.example.com/';

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys: [{ ...key, kid: 'one', use: 'sig', alg: algorithm }] },
    clients: [
      {
        client_id: 'page',
        client_secret: 'a-secret-of-the-page',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: algorithm,
      },
    ],
    enabledJWA: { idTokenSigningAlgValues: [algorithm] },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        getResourceServerInfo: () => ({
          scope: 'billing:read',
          audience,
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: algorithm } },
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(JSON.stringify({ issuer }));
});

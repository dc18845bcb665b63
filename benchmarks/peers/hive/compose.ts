// Composes the three REST sources into one supergraph, as a user of Hive Gateway would.
import {
  createFederationTransform,
  createRenameTransform,
  defineConfig,
} from '@graphql-mesh/compose-cli';
import { loadJSONSchemaSubgraph } from '@omnigraph/json-schema';

const endpoint = process.env.UPSTREAM;
const text = { type: 'string' };
const ids = { type: 'array', items: { type: 'string', nullable: false } };
const queryStringOptions: any = { indices: false, arrayFormat: 'repeat' };

const object = (title: string, properties: object, required: string[] = []): any => ({
  type: 'object', title, properties, required,
});
const profile = object('User', {
  id: text, username: text, displayName: text, email: text, avatarUrl: text, locale: text, createdAt: text,
}, ['id']);
const account = object('User', {
  userId: text, plan: text, status: text, renewsAt: text,
  balance: object('Balance', { amount: { type: 'number' }, currency: text }),
}, ['userId']);
const summary = object('User', {
  userId: text, lastSeenAt: text, loginCount: { type: 'integer' },
  events: { type: 'array', items: object('Event', { id: text, type: text, occurredAt: text }) },
}, ['userId']);

// A query for many users: /path?parameter=a&parameter=b
const many = (field: string, path: string, parameter: string, row: any): any => ({
  type: 'Query', field, path, method: 'GET',
  queryParamArgMap: { [parameter]: 'ids' },
  argTypeMap: { ids },
  queryStringOptionsByParam: { [parameter]: queryStringOptions },
  responseSchema: { type: 'array', items: row },
});
const one: any = {
  type: 'Query', field: 'user', path: '/profile/users/{args.id}', method: 'GET',
  argTypeMap: { id: { type: 'string', nullable: false } },
  responseSchema: profile,
};
const resolvedBy = (fieldName: string) => createFederationTransform({
  User: { key: { fields: 'id', resolveReference: { fieldName, keyArg: 'ids', keyField: 'id' } } },
});
const renamed = (...pairs: [string, string][]) => createRenameTransform({
  renames: pairs.map(([from, to]) => ({
    from: { type: 'User', field: from }, to: { type: 'User', field: to },
  })),
});
const source = (name: string, operations: any[]) =>
  loadJSONSchemaSubgraph(name, { endpoint, queryStringOptions, operations });

export const composeConfig = defineConfig({
  subgraphs: [
    {
      sourceHandler: source('profile', [one, many('users', '/profile/users', 'id', profile)]),
      transforms: [resolvedBy('users')],
    },
    {
      sourceHandler: source('billing', [
        many('billingAccounts', '/billing/accounts', 'userId', account),
      ]),
      transforms: [
        renamed(['userId', 'id'], ['status', 'billingStatus']),
        resolvedBy('billingAccounts'),
      ],
    },
    {
      sourceHandler: source('activity', [
        many('activitySummaries', '/activity/summaries', 'userId', summary),
      ]),
      transforms: [renamed(['userId', 'id']), resolvedBy('activitySummaries')],
    },
  ],
});

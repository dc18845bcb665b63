// What the Node peers share: the schema, the calls to the three sources, one DataLoader per source
// and request, and two ways to resolve.
import DataLoader from 'dataloader';
import { Pool } from 'undici';

const upstream = process.env.UPSTREAM;
export const port = Number(process.env.PORT);

export const typeDefs = /* GraphQL */ `
  type Query {
    user(id: ID!): User
    users(ids: [ID!]!): [User]!
  }
  type User @key(fields: "id") {
    id: ID!
    username: String
    displayName: String
    email: String
    avatarUrl: String
    locale: String
    createdAt: String
    plan: String
    billingStatus: String
    balance: Balance
    renewsAt: String
    lastSeenAt: String
    loginCount: Int
    events: [Event!]
    invoices(first: Int = 20): InvoiceConnection
  }
  type Balance { amount: Float currency: String }
  type Event { id: ID type: String occurredAt: String }
  type InvoiceConnection { edges: [InvoiceEdge!]! pageInfo: PageInfo! }
  type InvoiceEdge { node: Invoice! }
  type Invoice { id: ID! number: String! status: String! issuedAt: String! total: Balance! }
  type PageInfo { hasNextPage: Boolean! }
`;

// CLIENT=undici (a pool per source) or fetch (the one that Node has built in).
const pools = {
  profile: new Pool(upstream, { connections: 128, pipelining: 1 }),
  billing: new Pool(upstream, { connections: 128, pipelining: 1 }),
  activity: new Pool(upstream, { connections: 128, pipelining: 1 }),
};

async function byUndici(source, path) {
  const { statusCode, body } = await pools[source].request({ path, method: 'GET' });
  if (statusCode !== 200) {
    await body.dump();
    throw new Error(`${source} answered ${statusCode}`);
  }
  return body.json();
}

async function byFetch(source, path) {
  const response = await fetch(upstream + path);
  if (!response.ok) throw new Error(`${source} answered ${response.status}`);
  return response.json();
}

const get = process.env.CLIENT === 'fetch' ? byFetch : byUndici;

// A batch function: the rows of many users in one call, in the order of the ids, null where unknown.
const batch = (source, path, parameter) => async (ids) => {
  let target = path;
  for (let index = 0; index < ids.length; index += 1) {
    target += `${index ? '&' : '?'}${parameter}=${encodeURIComponent(ids[index])}`;
  }
  const byId = new Map();
  for (const row of await get(source, target)) byId.set(row[parameter], row);
  return ids.map((id) => byId.get(id) ?? null);
};
const batches = {
  profile: batch('profile', '/profile/users', 'id'),
  billing: batch('billing', '/billing/accounts', 'userId'),
  activity: batch('activity', '/activity/summaries', 'userId'),
};

export const makeContext = () => ({
  profile: new DataLoader(batches.profile),
  billing: new DataLoader(batches.billing),
  activity: new DataLoader(batches.activity),
});

// Where each field of User is read.
const fields = {
  username: ['profile', 'username'],
  displayName: ['profile', 'displayName'],
  email: ['profile', 'email'],
  avatarUrl: ['profile', 'avatarUrl'],
  locale: ['profile', 'locale'],
  createdAt: ['profile', 'createdAt'],
  plan: ['billing', 'plan'],
  billingStatus: ['billing', 'status'],
  balance: ['billing', 'balance'],
  renewsAt: ['billing', 'renewsAt'],
  lastSeenAt: ['activity', 'lastSeenAt'],
  loginCount: ['activity', 'loginCount'],
  events: ['activity', 'events'],
};

// A user's invoices: one call for each user.
async function invoices({ id }, { first }) {
  const page = await get('billing', `/billing/invoices?userId=${encodeURIComponent(id)}&limit=${first}`);
  return {
    edges: page.items.map((node) => ({ node })),
    pageInfo: { hasNextPage: page.nextCursor !== undefined },
  };
}

// A router's reference to a user. Apollo's library gives context and info after the reference,
// Mercurius' gives arguments before them.
const reference = (resolve) => ({ id }, ...rest) => resolve(id, ...rest.slice(-2));

// MODE=fields: the root is profile's row, or null; each other field asks the loader of its source,
// as most servers are written.
const reads = ([source, key]) => (user, _arguments, context) =>
  context[source].load(user.id).then((row) => (row ? row[key] : null));
const others = Object.entries(fields).filter(([, [source]]) => source !== 'profile');
const fieldResolvers = {
  Query: {
    user: (_root, { id }, context) => context.profile.load(id),
    users: (_root, { ids }, context) => Promise.all(ids.map((id) => context.profile.load(id))),
  },
  User: {
    ...Object.fromEntries(others.map(([name, from]) => [name, reads(from)])),
    invoices,
    __resolveReference: reference((id, context) => context.profile.load(id)),
  },
};

// MODE=lookahead: optimised by hand. The selection is looked at once, at the root; what it needs is
// fetched for all ids there, and the fields of User have no resolvers. A source that fails leaves
// its failure at each of its fields: a value that is an Error is an error at its path.
function selected(info) {
  const names = new Set();
  const walk = ({ selections }) => {
    for (const one of selections) {
      if (one.kind === 'Field') names.add(one.name.value);
      else if (one.kind === 'InlineFragment') walk(one.selectionSet);
      else walk(info.fragments[one.name.value].selectionSet);
    }
  };
  for (const node of info.fieldNodes) walk(node.selectionSet);
  return names;
}

const fieldsOf = (source) => Object.keys(fields).filter((name) => fields[name][0] === source);
const fieldsBySource = {
  profile: fieldsOf('profile'),
  billing: fieldsOf('billing'),
  activity: fieldsOf('activity'),
};

async function load(source, ids, names) {
  if (!fieldsBySource[source].some((name) => names.has(name))) return [];
  try {
    return await batches[source](ids);
  } catch (error) {
    return ids.map(() => error);
  }
}

const value = (row, key) => (row instanceof Error ? row : row?.[key]);

async function usersOf(ids, info) {
  const names = selected(info);
  const [profile, billing, activity] = await Promise.all([
    load('profile', ids, names),
    load('billing', ids, names),
    load('activity', ids, names),
  ]);
  return ids.map((id, index) => {
    const p = profile[index];
    if (p === null) return null;
    const b = billing[index];
    const a = activity[index];
    return {
      id,
      username: value(p, 'username'),
      displayName: value(p, 'displayName'),
      email: value(p, 'email'),
      avatarUrl: value(p, 'avatarUrl'),
      locale: value(p, 'locale'),
      createdAt: value(p, 'createdAt'),
      plan: value(b, 'plan'),
      billingStatus: value(b, 'status'),
      balance: value(b, 'balance'),
      renewsAt: value(b, 'renewsAt'),
      lastSeenAt: value(a, 'lastSeenAt'),
      loginCount: value(a, 'loginCount'),
      events: value(a, 'events'),
    };
  });
}

const lookaheadResolvers = {
  Query: {
    user: async (_root, { id }, _context, info) => (await usersOf([id], info))[0],
    users: (_root, { ids }, _context, info) => usersOf(ids, info),
  },
  User: {
    invoices,
    __resolveReference: reference((id, context, info) => {
      context.users ??= new DataLoader((ids) => usersOf(ids, info));
      return context.users.load(id);
    }),
  },
};

export const resolvers = process.env.MODE === 'lookahead' ? lookaheadResolvers : fieldResolvers;

/**
 * The GraphiQL page. It talks to the address that it is served from, and to nothing else.
 */
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { pick, useGraphiQL, useMonaco } from '@graphiql/react';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { buildClientSchema } from 'graphql';
import { useEffect } from 'react';
import { createRoot } from 'react-dom/client';
// Ahead of the style sheets below, which override some of what Monaco brings.
import 'monaco-graphql/esm/monaco-editor.js';

import '@graphiql/react/font/fira-code.css';
import '@graphiql/react/font/roboto.css';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import '@graphiql/plugin-explorer/style.css';
import 'graphiql/graphiql.css';
import './page.css';
import './trace.css';
import { examples } from './examples.js';
import { INTROSPECTION, withoutFederation } from './introspection.js';
import { TraceReports, tracePlugin } from './trace.jsx';

// bundle.mjs puts the workers' hashed file names here, by Monaco's label for each.
globalThis.MonacoEnvironment = {
  getWorker: (_, label) =>
    new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url), { name: label }),
};

async function post(body, headers, signal) {
  const response = await fetch(location.pathname, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/graphql-response+json, application/json;q=0.9',
      ...headers,
    },
    body: JSON.stringify(body),
    signal,
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy in between answers in HTML: its status says more than a parser's complaint.
    throw new Error(`HTTP ${response.status} ${response.statusText}, and no JSON in the body`);
  }
}

const root = document.getElementById('graphiql');
const allowed = JSON.parse(root.dataset.allowed);
const reports = new TraceReports(allowed, post);

// The whole schema, which the editor checks operations by.
let wholeSchema = null;

/** Asks the gateway. The answer of GraphiQL's introspection is for its documentation. */
async function ask(params, headers, signal) {
  if (params.operationName === INTROSPECTION) {
    const result = await post(params, headers, signal);
    if (!result.data?.__schema) return result;
    wholeSchema = buildClientSchema(result.data);
    return { ...result, data: withoutFederation(result.data) };
  }
  const result = await post(params, { ...reports.headers, ...headers }, signal);
  reports.ran(params, headers, result);
  return result;
}

/** An observable, not a promise: only so does GraphiQL's stop button end the request. */
const fetcher = (params, { headers } = {}) => ({
  subscribe(observer) {
    const abort = new AbortController();
    ask(params, headers, abort.signal)
      .then(result => {
        observer.next(result);
        observer.complete();
      })
      .catch(error => abort.signal.aborted || observer.error(error));
    return { unsubscribe: () => abort.abort() };
  },
});

const plugins = [
  HISTORY_PLUGIN,
  explorerPlugin(),
  ...(allowed.trace || allowed.explain ? [tracePlugin(reports)] : []),
];

// An entity's representation is an object; the variable editor takes unknown scalars for plain values.
const scalars = { _Any: {} };

// The demo's queries, unless the gateway has a schema of its own.
const own = JSON.parse(root.dataset.examples);
const tabs = own.length > 0 ? own : examples;

/** The tab that is shown first: the one of the last visit, or the first of all. */
function shownTab() {
  try {
    const { tabs: stored, activeTabIndex } = JSON.parse(localStorage.getItem('graphiql:tabState'));
    return stored[activeTabIndex] ?? tabs[0];
  } catch {
    return tabs[0]; // there was no visit
  }
}

// GraphiQL reads that tab's variables from a place of their own, where they are only once edited.
const { query, variables } = shownTab();
const start =
  localStorage.getItem('graphiql:variables') === null
    ? { initialQuery: query ?? undefined, initialVariables: variables ?? undefined }
    : {};

/** Lets the editor know what the documentation leaves out: an operation may well ask for it. */
function WholeSchema() {
  const { schema } = useGraphiQL(pick('schema'));
  const language = useMonaco(state => state.monacoGraphQL);
  useEffect(() => {
    if (!schema || !language || !wholeSchema) return;
    const config = { uri: 'whole-schema.graphql', schema: wholeSchema };
    language.setSchemaConfig([{ ...config, customScalarSchemas: scalars }]);
  }, [schema, language]);
  return null;
}

createRoot(root).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    defaultTabs={tabs}
    defaultEditorToolsVisibility="variables"
    customScalarSchemas={scalars}
    introspectionQueryName={INTROSPECTION}
    schemaDescription
    {...start}
  >
    <GraphiQL.Logo>User gateway</GraphiQL.Logo>
    <WholeSchema />
  </GraphiQL>,
);

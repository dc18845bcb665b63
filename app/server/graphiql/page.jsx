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
import { answerOf, payloadsOf } from './payloads.js';
import { TraceReports, tracePlugin } from './trace.jsx';

// bundle.mjs puts the workers' hashed file names here, by Monaco's label for each.
globalThis.MonacoEnvironment = {
  getWorker: (_, label) =>
    new Worker(new URL(WORKERS[label] ?? WORKERS.editor, import.meta.url), { name: label }),
};

const ANSWER = 'application/graphql-response+json, application/json;q=0.9';
const PAYLOADS = `text/event-stream, ${ANSWER}`;

const send = (body, headers, signal) =>
  fetch(location.pathname, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: ANSWER, ...headers },
    body: JSON.stringify(body),
    signal,
  });

const post = async (body, headers, signal) => answerOf(await send(body, headers, signal));

const root = document.getElementById('graphiql');
const allowed = JSON.parse(root.dataset.allowed);
const reports = new TraceReports(allowed, post);

// The whole schema, which the editor checks operations by.
let wholeSchema = null;

/** Asks the gateway, and yields what comes. The answer of GraphiQL's introspection is for its documentation. */
async function* ask(params, headers, signal) {
  if (params.operationName === INTROSPECTION) {
    const result = await post(params, headers, signal);
    if (result.data?.__schema) {
      wholeSchema = buildClientSchema(result.data);
      yield { ...result, data: withoutFederation(result.data) };
    } else {
      yield result;
    }
    return;
  }
  const asked = { Accept: PAYLOADS, ...reports.headers, ...headers };
  let last;
  for await (last of payloadsOf(await send(params, asked, signal))) yield last;
  reports.ran(params, headers, last); // the last payload has the report
}

/** An observable, not a promise: only so does GraphiQL's stop button end the request. */
const fetcher = (params, { headers } = {}) => ({
  subscribe(observer) {
    const abort = new AbortController();
    const run = async () => {
      for await (const result of ask(params, headers, abort.signal)) observer.next(result);
      observer.complete();
    };
    run().catch(error => abort.signal.aborted || observer.error(error));
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

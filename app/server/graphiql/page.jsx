/**
 * The GraphiQL page. It talks to the address that it is served from, and to nothing else.
 */
import { explorerPlugin } from '@graphiql/plugin-explorer';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
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
import { examples } from './examples.js';

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

/** An observable, not a promise: only so does GraphiQL's stop button end the request. */
const fetcher = (params, { headers } = {}) => ({
  subscribe(observer) {
    const abort = new AbortController();
    post(params, headers, abort.signal)
      .then(result => {
        observer.next(result);
        observer.complete();
      })
      .catch(error => abort.signal.aborted || observer.error(error));
    return { unsubscribe: () => abort.abort() };
  },
});

const plugins = [HISTORY_PLUGIN, explorerPlugin()];

// An entity's representation is an object; the variable editor takes unknown scalars for plain values.
const scalars = { _Any: {} };

// The demo's queries, unless the gateway has a schema of its own.
const root = document.getElementById('graphiql');
const own = JSON.parse(root.dataset.examples);
const tabs = own.length > 0 ? own : examples;

// GraphiQL fills the first tab's variables from its storage only, which is empty on a first visit.
const firstVisit = localStorage.getItem('graphiql:tabState') === null;
const start = firstVisit
  ? { initialQuery: tabs[0].query, initialVariables: tabs[0].variables }
  : {};

createRoot(root).render(
  <GraphiQL
    fetcher={fetcher}
    plugins={plugins}
    defaultTabs={tabs}
    defaultEditorToolsVisibility="variables"
    customScalarSchemas={scalars}
    schemaDescription
    {...start}
  >
    <GraphiQL.Logo>User gateway</GraphiQL.Logo>
  </GraphiQL>,
);

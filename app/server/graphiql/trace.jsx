/**
 * The panel "Trace": the plan of the operation, and the waterfall of its last run.
 */
import { Button, pick, tryParseJSONC, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useSyncExternalStore } from 'react';
import { duration, planOf, waterfallOf } from './reports.js';

/**
 * What the panel shows, and how the page fills it.
 *
 * @param {{trace: boolean, explain: boolean}} allowed What the gateway allows.
 * @param {(body: object, headers: object) => Promise<object>} post Sends a request.
 */
export class TraceReports {
  #listeners = new Set();
  #shown = { plan: null, planErrors: [], waterfall: null, ran: null };
  #explanations = 0;
  #open = 0;

  constructor(allowed, post) {
    this.allowed = allowed;
    this.post = post;
  }

  subscribe = listener => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  shown = () => this.#shown;

  #show(change) {
    this.#shown = { ...this.#shown, ...change };
    this.#listeners.forEach(listener => listener());
  }

  /** Counts the panel as open until the returned function is called. */
  open = () => {
    this.#open += 1;
    return () => (this.#open -= 1);
  };

  /** The headers that ask for a report: none while nobody looks at it. */
  get headers() {
    return this.#open > 0 && this.allowed.trace ? { 'X-Gateway-Trace': '1' } : {};
  }

  /** Takes in the answer of a run, and asks for the plan of what was run. */
  ran(body, headers, answer) {
    const waterfall = waterfallOf(answer.extensions);
    this.#show({ waterfall, ran: body.operationName ?? 'The operation' });
    if (this.#open > 0) this.explain(body, headers);
  }

  /** Asks for the plan of an operation. No source is called for it. */
  async explain(body, headers = {}) {
    if (!this.allowed.explain) return;
    const number = ++this.#explanations;
    let change;
    try {
      const answer = await this.post(body, { ...headers, 'X-Gateway-Explain': '1' });
      const explanation = answer.extensions?.explain;
      change = {
        plan: explanation ? planOf(explanation) : null,
        planErrors: (answer.errors ?? []).map(errorText),
      };
    } catch (error) {
      change = { plan: null, planErrors: [error.message] };
    }
    // A later operation's plan may be here already.
    if (number === this.#explanations) this.#show(change);
  }
}

const errorText = ({ message, extensions }) =>
  extensions?.code ? `${extensions.code}: ${message}` : message;

/** Makes the plugin for GraphiQL. */
export function tracePlugin(reports) {
  return { title: 'Trace', icon: TraceIcon, content: () => <TracePanel reports={reports} /> };
}

function TraceIcon(props) {
  return (
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="2" {...props}>
      <path d="M1 3h7M4 8h6M8 13h7" strokeLinecap="round" />
    </svg>
  );
}

function TracePanel({ reports }) {
  const { plan, planErrors, waterfall, ran } = useSyncExternalStore(reports.subscribe, reports.shown);
  const { run } = useGraphiQLActions();
  const { queryEditor, variableEditor, headerEditor, operationName, isFetching } = useGraphiQL(
    pick('queryEditor', 'variableEditor', 'headerEditor', 'operationName', 'isFetching'),
  );
  const explain = () => {
    const query = queryEditor?.getValue();
    if (!query?.trim()) return;
    const variables = parsed(variableEditor?.getValue());
    reports.explain({ query, variables, operationName }, parsed(headerEditor?.getValue()));
  };
  useEffect(() => reports.open(), [reports]);
  useEffect(explain, [queryEditor]);
  const { allowed } = reports;
  return (
    <section className="trace" aria-label="Trace">
      <header>
        <h2>Trace</h2>
        {allowed.explain && <Button onClick={explain}>Show plan</Button>}
        {allowed.trace && (
          <Button onClick={run} disabled={isFetching}>
            Run
          </Button>
        )}
      </header>
      {allowed.explain && (
        <details open>
          <summary>
            <h3>Plan</h3>
          </summary>
          {planErrors.length > 0 && (
            <ul className="trace-errors" aria-label="Errors of the operation">
              {planErrors.map((text, index) => (
                <li key={index}>{text}</li>
              ))}
            </ul>
          )}
          {plan && <Plan plan={plan} />}
          {!plan && planErrors.length === 0 && <p>Write an operation to see its plan.</p>}
        </details>
      )}
      {allowed.trace && (
        <section aria-labelledby="trace-waterfall">
          <h3 id="trace-waterfall">Waterfall</h3>
          <p role="status">
            {waterfall
              ? `${ran} was answered in ${duration(waterfall.ms)}.`
              : ran
                ? `${ran} was answered without a report.`
                : 'Run the operation to see where its time goes.'}
          </p>
          {waterfall && <Waterfall waterfall={waterfall} />}
        </section>
      )}
    </section>
  );
}

/** Reads the text of an editor as GraphiQL does; what is not JSON yet counts as missing. */
function parsed(text) {
  try {
    return tryParseJSONC(text);
  } catch {
    return undefined;
  }
}

function Plan({ plan }) {
  return (
    <ol className="trace-plan" aria-label={`Plan of ${plan.operation ?? 'the operation'}`}>
      <li>
        <ul aria-label="Root fields">
          {plan.fields.map((field, index) => (
            <li key={index} className="trace-box">
              <strong>{field.title}</strong>
              <span>{field.users}</span>
              {field.sourceless.length > 0 && <span>no source: {field.sourceless.join(', ')}</span>}
              {field.hidden.length > 0 && <span>hidden: {field.hidden.join(', ')}</span>}
            </li>
          ))}
        </ul>
      </li>
      {plan.steps.map((sources, index) => (
        <li key={index}>
          <span className="trace-step">Step {index + 1}</span>
          <ul aria-label={`Sources of step ${index + 1}, asked at the same time`}>
            {sources.map(source => (
              <PlannedSource key={source.name} source={source} />
            ))}
          </ul>
        </li>
      ))}
      {plan.steps.length === 0 && <li>No source is asked.</li>}
    </ol>
  );
}

function PlannedSource({ source }) {
  return (
    <li className="trace-box">
      <strong>{source.name}</strong>
      <code>{source.request}</code>
      <span>{source.calls}</span>
      <span>{source.keys}</span>
      {source.fields.length > 0 && <span>fields: {source.fields.join(', ')}</span>}
      {source.recordFields.length > 0 && <span>of the record: {source.recordFields.join(', ')}</span>}
      {source.purpose && <span>{source.purpose}</span>}
      {source.selects.length > 0 && <span>sent: {source.selects.join(', ')}</span>}
      {source.lists.map(list => (
        <code key={list}>{list}</code>
      ))}
    </li>
  );
}

const percent = share => `${(share * 100).toFixed(3)}%`;

function Waterfall({ waterfall: { axis, deadline, sources } }) {
  const isMarked = deadline !== null && deadline.at !== null;
  return (
    <>
      {deadline && (
        <p className="trace-deadline">
          Deadline at {duration(deadline.ms)}
          {isMarked ? ': the dashed line' : ', later than this axis'}
        </p>
      )}
      {sources.length === 0 && <p>No source was asked.</p>}
      {sources.length > 0 && (
        <table>
          <caption>Waits and attempts at each source</caption>
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">
                <span className="trace-axis">
                  <span>{duration(axis.start)}</span>
                  <span>{duration(axis.end)}</span>
                </span>
              </th>
              <th scope="col">Took</th>
            </tr>
          </thead>
          {sources.map(source => (
            <tbody key={source.name}>
              <tr className="trace-source">
                <th scope="rowgroup" colSpan={3}>
                  <strong>{source.name}</strong>{' '}
                  <span className={`trace-status trace-${source.status}`}>
                    {SIGNS[source.status]} {source.status}
                    {source.code && ` ${source.code}`}
                  </span>
                  <span className="trace-facts">{source.facts.join(', ')}</span>
                </th>
              </tr>
              {source.rows.map((row, index) => (
                <Step key={index} row={row} mark={isMarked ? deadline.at : null} />
              ))}
            </tbody>
          ))}
        </table>
      )}
    </>
  );
}

const SIGNS = { ok: '✓', failed: '✕', stale: '◷' };

function Step({ row, mark }) {
  const kind = `trace-bar trace-${row.isWait ? 'wait' : row.kind} ${row.code ? 'trace-failed' : ''}`;
  return (
    <tr>
      <th scope="row">{row.label}</th>
      <td>
        <span className="trace-lane" aria-hidden="true">
          <span className={kind} style={{ left: percent(row.left), width: percent(row.width) }} />
          {mark !== null && <span className="trace-mark" style={{ left: percent(mark) }} />}
        </span>
        <span className="trace-hidden">from {duration(row.start)} </span>
        {row.code && <FailureCode code={row.code} />}
      </td>
      <td>{duration(row.ms)}</td>
    </tr>
  );
}

/** A code may break after its underscores. */
function FailureCode({ code }) {
  return (
    <span className="trace-code">
      ✕ {code.split(/(?<=_)/).map((part, index) => [index > 0 && <wbr key={index} />, part])}
    </span>
  );
}

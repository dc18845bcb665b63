/**
 * From the `extensions` of a response to what the Trace panel shows. Pure.
 * docs/operations/request-report.md says what each member means. Times are milliseconds from the
 * start of the operation.
 */

/** The deadline is on the time axis if it is at most this many times as far as the last row. */
const NEAR = 2;

/** How many keys of a source a plan names. */
const SHOWN_KEYS = 2;

const WAITS = new Set(['queued', 'waiting', 'backoff', 'pacing', 'bulkhead']);

/** Writes a number with a noun. */
export const counted = (number, noun) =>
  `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;

/** Writes a duration or a moment. */
export const duration = ms =>
  `${ms.toLocaleString('en', Math.abs(ms) < 1000 ? { maximumSignificantDigits: 4 } : { maximumFractionDigits: 0 })} ms`;

/**
 * Returns the waterfall of a report; null if the extensions have none.
 *
 * `axis` has the moments of its ends. `deadline.at` is its place on the axis from 0 to 1, null if
 * it is later. A row has its `label`, `kind`, `start`, `ms`, perhaps a failure's `code`, and
 * `left` and `width` as shares of the axis. `call` rows stand above the rows of their steps.
 */
export function waterfallOf(extensions) {
  const { request, sources = {} } = extensions ?? {};
  if (!request) return null;
  const named = Object.entries(sources).map(([name, source]) => ({
    name,
    status: source.status,
    code: source.code ?? null,
    facts: factsOf(source),
    rows: rowsOf(source),
  }));
  const rows = named.flatMap(source => source.rows);
  const start = rows.reduce((least, row) => Math.min(least, row.start), 0);
  const last = rows.reduce((most, row) => Math.max(most, row.start + row.ms), request.ms);
  const moment = request.deadlineMs ?? null;
  const isNear = moment !== null && moment <= last * NEAR;
  const end = Math.max(isNear ? Math.max(last, moment) : last, start + 0.01);
  const share = ms => ms / (end - start);
  const clamped = number => Math.min(Math.max(number, 0), 1);
  for (const row of rows) {
    row.left = clamped(share(row.start - start));
    row.width = Math.min(share(row.ms), 1 - row.left);
  }
  return {
    ms: request.ms,
    axis: { start, end },
    deadline:
      moment === null ? null : { ms: moment, at: isNear ? clamped(share(moment - start)) : null },
    sources: named,
  };
}

/** Lists the rows of a source: its wait for a batch, its calls, and the steps of each. */
function rowsOf({ startMs, ms: took, code: failure, timeline = [] }) {
  const rows = [];
  const row = (label, kind, start, ms, code) =>
    rows.push({ label, kind, isWait: WAITS.has(kind), start, ms, code: code ?? null });
  const first = timeline.reduce((least, call) => Math.min(least, call.startMs), Infinity);
  if (startMs !== undefined && first !== Infinity && first > startMs) {
    row('queued', 'queued', startMs, Math.round((first - startMs) * 100) / 100);
  }
  if (startMs !== undefined && took !== undefined && first === Infinity) {
    // The operation went on before a call ended, such as at its deadline.
    row('waiting', 'waiting', startMs, took, failure);
  }
  timeline.forEach((call, index) => {
    const { steps } = call;
    // A call whose row would say no more than its steps has none.
    const alone = timeline.length === 1 && steps.length > 0;
    if (!alone || (call.code !== undefined && call.code !== steps.at(-1).code)) {
      row(`call ${index + 1}, ${counted(call.keys, 'key')}`, 'call', call.startMs, call.ms, call.code);
    }
    const attempts = steps.filter(({ kind }) => kind === 'attempt').length;
    let number = 0;
    for (const { kind, startMs: start, ms, code } of steps) {
      const label = kind === 'attempt' && attempts > 1 ? `attempt ${++number}` : kind;
      row(label, kind, start, ms, code);
    }
  });
  return rows;
}

/** Lists what became of a source, in words, without its status. */
function factsOf(source) {
  const { keys, cached, coalesced, calls, attempts, ageMs, circuit, pace, ms } = source;
  return [
    keys !== undefined && counted(keys, 'key'),
    cached && `${cached.toLocaleString('en')} cached`,
    coalesced && `${coalesced.toLocaleString('en')} coalesced with other requests`,
    calls !== undefined && counted(calls, 'call'),
    attempts !== undefined && counted(attempts, 'attempt'),
    ageMs !== undefined && `records up to ${duration(ageMs)} old`,
    circuit !== undefined && circuit !== 'closed' && `circuit ${circuit}`,
    pace !== undefined && `pace ${pace}`,
    ms !== undefined && duration(ms),
  ].filter(Boolean);
}

/**
 * Returns the plan of an explanation (`extensions.explain`): its root fields, and the steps in
 * which their sources are asked. The sources of a step are asked at the same time.
 */
export function planOf(explanation) {
  const { fields, sources, operation, calls, cost } = explanation;
  const depths = depthsOf(sources, fields);
  const steps = [];
  for (const source of sources) {
    const readings = fields.flatMap(field => field.sources).filter(one => one.source === source.name);
    (steps[depths.get(source.name)] ??= []).push({
      name: source.name,
      request: requestOf(source),
      keys: keysOf(source),
      calls: callsOf(source),
      fields: [...new Set(readings.flatMap(reading => reading.fields))],
      recordFields: source.recordFields,
      purpose: purposeOf(readings),
      selects: source.selects ?? [],
      lists: source.pages.map(page => `${page.method} ${page.request}`.trim() || page.list),
    });
  }
  return {
    operation,
    calls,
    cost,
    fields: fields.map(field => ({
      title: field.key === field.field ? field.field : `${field.key}: ${field.field}`,
      users: usersOf(field),
      sourceless: field.sourceless,
      hidden: field.hidden,
    })),
    steps: steps.filter(Boolean),
  };
}

/** Finds the step of each source: one after those that are asked before it. */
function depthsOf(sources, fields) {
  const byName = new Map(sources.map(source => [source.name, source]));
  const depths = new Map();
  const lookups = name =>
    fields
      .filter(({ lookup, sources: read }) => lookup && read.some(({ source }) => source === name))
      .map(({ lookup }) => lookup);
  const before = ({ name, keyFrom, fallback }) => [
    ...keyFrom,
    ...lookups(name),
    ...(fallback
      ? sources
          .filter(child => child.keyFrom.includes(name))
          .flatMap(child => child.keyFrom.slice(0, child.keyFrom.indexOf(name)))
      : []),
  ];
  const depth = name => {
    if (!depths.has(name)) {
      depths.set(name, 0); // a source that would wait for itself is asked first
      const waits = before(byName.get(name)).filter(other => other !== name && byName.has(other));
      depths.set(name, Math.max(0, ...waits.map(other => depth(other) + 1)));
    }
    return depths.get(name);
  };
  sources.forEach(({ name }) => depth(name));
  return depths;
}

function requestOf({ form, method, path, parameter }) {
  if (form === 'module') return 'by a Python module';
  return `${method} ${path}${parameter === null ? '' : `?${parameter}=…`}`;
}

function keysOf({ keys, keyFrom, fallback, moreAtRunTime }) {
  const more = keys.length > SHOWN_KEYS ? [`and ${keys.length - SHOWN_KEYS} more`] : [];
  const names = [...keys.slice(0, SHOWN_KEYS), ...more].join(', ');
  const known = keys.length > 0 ? `${counted(keys.length, 'key')}: ${names}` : null;
  if (keyFrom.length > 0) return `keys of ${keyFrom.join(', ')}, known at run time`;
  if (fallback) return 'users without a key from the sources before it';
  if (moreAtRunTime) return known ? `${known}; others known at run time` : 'keys known at run time';
  return known ?? 'no keys';
}

function callsOf({ batches, calls, maxKeys }) {
  if (batches === null) return `up to ${counted(maxKeys, 'key')} in a call`;
  return counted(calls ?? batches.length, 'call');
}

function purposeOf(readings) {
  if (readings.some(reading => reading.fields.length > 0)) return null;
  const keys = [...new Set(readings.flatMap(reading => reading.keysOf))];
  return keys.length > 0 ? `only the keys of ${keys.join(', ')}` : 'only whether the user exists';
}

function usersOf({ ids, distinctIds, isList, lookup, missingVariables, wrong }) {
  if (missingVariables.length > 0) return `ids from $${missingVariables.join(', $')}`;
  if (lookup !== null) return `${isList ? 'users' : 'user'} found by ${lookup}`;
  if (ids === null) return wrong.length > 0 ? 'no users: its argument is wrong' : 'no users';
  const text = counted(ids, 'id');
  return distinctIds !== null && distinctIds < ids ? `${text}, ${distinctIds} different` : text;
}

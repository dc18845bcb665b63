/** What the Trace panel shows, from the extensions of a response. Run by test_reports.py. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutFederation } from '../../../app/server/graphiql/introspection.js';
import { planOf, waterfallOf } from '../../../app/server/graphiql/reports.js';

const step = (kind, startMs, ms, code) => ({ kind, startMs, ms, ...(code && { code }) });
const extensions = (sources, request = { ms: 100, deadlineMs: 5000 }) => ({ request, sources });
const labels = rows => rows.map(({ label }) => label);

test('without a report there is no waterfall', () => {
  assert.equal(waterfallOf(undefined), null);
  assert.equal(waterfallOf({}), null);
  // A stale record is told of without the header, and is no report.
  assert.equal(waterfallOf({ sources: { billing: { status: 'stale', ageMs: 41000 } } }), null);
});

test('the wait for a batch, the attempts and the waits between them share one axis', () => {
  const steps = [
    step('attempt', 10, 20, 'SOURCE_UNAVAILABLE'),
    step('backoff', 30, 20),
    step('attempt', 50, 50),
  ];
  const timeline = [{ keys: 1, startMs: 10, ms: 90, steps }];
  const billing = { status: 'ok', keys: 1, calls: 1, attempts: 2, startMs: 0, ms: 100, timeline };
  const { axis, sources } = waterfallOf(extensions({ billing }));
  assert.deepEqual(axis, { start: 0, end: 100 });
  assert.deepEqual(
    sources[0].rows.map(({ label, isWait, left, width, code }) => [label, isWait, left, width, code]),
    [
      ['queued', true, 0, 0.1, null],
      ['attempt 1', false, 0.1, 0.2, 'SOURCE_UNAVAILABLE'],
      ['backoff', true, 0.3, 0.2, null],
      ['attempt 2', false, 0.5, 0.5, null],
    ],
  );
  assert.deepEqual(sources[0].facts, ['1 key', '1 call', '2 attempts', '100 ms']);
});

test('hedges, pacing and bulkheads are rows of their own', () => {
  const steps = ['pacing', 'bulkhead', 'attempt', 'hedge'].map((kind, at) => step(kind, at, 1));
  const timeline = [{ keys: 1, startMs: 0, ms: 4, steps }];
  const [{ rows }] = waterfallOf(extensions({ billing: { status: 'ok', startMs: 0, timeline } })).sources;
  assert.deepEqual(
    rows.map(({ kind, isWait }) => [kind, isWait]),
    [
      ['pacing', true],
      ['bulkhead', true],
      ['attempt', false],
      ['hedge', false],
    ],
  );
});

test('a deadline near the end is on the axis, a later one is not', () => {
  const near = waterfallOf({ request: { ms: 100, deadlineMs: 125 } });
  assert.deepEqual(near.axis, { start: 0, end: 125 });
  assert.deepEqual(near.deadline, { ms: 125, at: 1 });
  const passed = waterfallOf({ request: { ms: 100, deadlineMs: 80 } });
  assert.deepEqual(passed.deadline, { ms: 80, at: 0.8 });
  const late = waterfallOf({ request: { ms: 100, deadlineMs: 5000 } });
  assert.deepEqual([late.axis.end, late.deadline], [100, { ms: 5000, at: null }]);
  assert.equal(waterfallOf({ request: { ms: 100 } }).deadline, null);
});

test('a call that another request began starts before zero, and its keys are coalesced', () => {
  const timeline = [{ keys: 3, startMs: -25, ms: 100, steps: [step('attempt', -25, 100)] }];
  const billing = { status: 'ok', keys: 2, calls: 0, coalesced: 2, startMs: 0, ms: 75, timeline };
  const { axis, sources } = waterfallOf(extensions({ billing }, { ms: 75 }));
  assert.equal(axis.start, -25);
  assert.deepEqual(labels(sources[0].rows), ['attempt']);
  assert.ok(sources[0].facts.includes('2 coalesced with other requests'));
});

test('cached and stale keys are facts, without rows', () => {
  const billing = { status: 'stale', keys: 2, cached: 2, ageMs: 41000, timeline: [] };
  const [source] = waterfallOf(extensions({ billing })).sources;
  assert.deepEqual(source.rows, []);
  assert.deepEqual(source.facts, ['2 keys', '2 cached', 'records up to 41,000 ms old']);
});

test('a source that had not answered at the deadline has a row for the wait', () => {
  const billing = { status: 'failed', code: 'SOURCE_TIMEOUT', startMs: 4, ms: 96, timeline: [] };
  const [{ rows }] = waterfallOf(extensions({ billing }, { ms: 100, deadlineMs: 100 })).sources;
  assert.deepEqual(
    rows.map(({ label, isWait, start, ms, code }) => [label, isWait, start, ms, code]),
    [['waiting', true, 4, 96, 'SOURCE_TIMEOUT']],
  );
});

test('calls have rows where there are several, or where one was refused', () => {
  const refused = { keys: 1, startMs: 1, ms: 0, code: 'SOURCE_CIRCUIT_OPEN', steps: [] };
  const one = { status: 'failed', startMs: 1, timeline: [refused], circuit: 'open' };
  const call = { keys: 20, startMs: 0, ms: 5, steps: [step('attempt', 0, 5)] };
  const two = { status: 'ok', startMs: 0, timeline: [call, call] };
  const { sources } = waterfallOf(extensions({ one, two }));
  assert.deepEqual(
    sources[0].rows.map(({ label, code }) => [label, code]),
    [['call 1, 1 key', 'SOURCE_CIRCUIT_OPEN']],
  );
  assert.deepEqual(sources[0].facts, ['circuit open']);
  assert.deepEqual(labels(sources[1].rows), [
    ...['call 1, 20 keys', 'attempt'],
    ...['call 2, 20 keys', 'attempt'],
  ]);
});

test('every row lies within the axis', () => {
  for (const startMs of [-1e6, -0.01, 0, 3, 1e6]) {
    for (const ms of [0, 0.01, 7, 1e6]) {
      const timeline = [{ keys: 1, startMs, ms, steps: [step('attempt', startMs, ms)] }];
      const { sources } = waterfallOf(extensions({ one: { status: 'ok', startMs: 0, timeline } }, { ms: 0 }));
      for (const { left, width } of sources[0].rows) {
        assert.ok(left >= 0 && width >= 0 && left + width <= 1 + 1e-9, `${startMs} ${ms}`);
      }
    }
  }
});

const reading = (source, fields, keysOf = []) => ({ source, fields, keysOf });
const planned = (name, more = {}) => ({
  ...{ name, form: 'repeat', method: 'GET', path: '/x', parameter: 'id', keyFrom: [] },
  ...{ fallback: false, selects: null, keys: [], moreAtRunTime: false, batches: [1], calls: 1 },
  ...{ pages: [], maxKeys: 100, ...more },
});
const field = (sources, more = {}) => ({
  ...{ key: 'user', field: 'user', isList: false, ids: 1, distinctIds: 1, lookup: null },
  ...{ missingVariables: [], wrong: [], sourceless: [], hidden: [], sources, ...more },
});
const explained = (fields, sources) => ({ operation: null, fields, sources, calls: 1, cost: 1 });

test('sources whose keys are in the records of others are a later step', () => {
  const sources = [
    planned('profile', { keys: ['a'] }),
    planned('mail', { fallback: true }),
    planned('billing', { keyFrom: ['profile', 'mail'] }),
    planned('activity', { keys: ['a'] }),
  ];
  const fields = [
    field([
      reading('profile', [], ['billing']),
      reading('mail', [], ['billing']),
      reading('billing', ['plan']),
      reading('activity', ['lastSeenAt']),
    ]),
  ];
  const { steps } = planOf(explained(fields, sources));
  assert.deepEqual(
    steps.map(step => step.map(({ name }) => name)),
    [['profile', 'activity'], ['mail'], ['billing']],
  );
  assert.equal(steps[0][0].purpose, 'only the keys of billing');
  assert.deepEqual(steps[2][0].fields, ['plan']);
  assert.equal(steps[2][0].keys, 'keys of profile, mail, known at run time');
});

test('a lookup is asked before the sources of its field', () => {
  const fields = [field([reading('billing', ['plan'])], { lookup: 'profile.byEmail', ids: null })];
  const sources = [planned('billing', { moreAtRunTime: true }), planned('profile.byEmail')];
  const plan = planOf(explained(fields, sources));
  assert.deepEqual(
    plan.steps.map(step => step.map(({ name }) => name)),
    [['profile.byEmail'], ['billing']],
  );
  assert.equal(plan.fields[0].users, 'user found by profile.byEmail');
});

test('sources that name each other do not hang the page', () => {
  const sources = [planned('a', { keyFrom: ['b'] }), planned('b', { keyFrom: ['a', 'gone'] })];
  assert.equal(planOf(explained([field([])], sources)).steps.flat().length, 2);
});

test('keys are named, and many are counted', () => {
  const fields = [field([reading('profile', ['email'])], { key: 'them', field: 'users', ids: 4, distinctIds: 3 })];
  const plan = planOf(explained(fields, [planned('profile', { keys: ['a', 'b', 'c'] })]));
  assert.equal(plan.steps[0][0].keys, '3 keys: a, b, and 1 more');
  assert.deepEqual([plan.fields[0].title, plan.fields[0].users], ['them: users', '4 ids, 3 different']);
});

test('the fields and types of federation are left out of a schema, and nothing else', () => {
  const type = (name, ...fields) => ({ name, fields: fields.map(one => ({ name: one })) });
  const types = [type('Root', 'user', '_entities', '_service'), type('User', '_service'), type('_Service')];
  const data = { __schema: { queryType: { name: 'Root' }, types, directives: [1] } };
  assert.deepEqual(withoutFederation(data).__schema, {
    queryType: { name: 'Root' },
    types: [type('Root', 'user'), type('User', '_service')],
    directives: [1],
  });
  assert.equal(data.__schema.types.length, 3);
});

/**
 * The schema as GraphiQL shows it: without what is for federation routers only. Pure.
 */

/** The name of GraphiQL's introspection, by which the page knows it from a person's operation. */
export const INTROSPECTION = 'GraphiQLIntrospection';

const FIELDS = new Set(['_entities', '_service']);
const TYPES = new Set(['_Any', '_Entity', '_Service']);

/** Returns a copy of an introspection's data without the fields and types of federation. */
export function withoutFederation(data) {
  const { __schema: schema } = data;
  const types = schema.types
    .filter(({ name }) => !TYPES.has(name))
    .map(type =>
      type.name === schema.queryType.name
        ? { ...type, fields: type.fields.filter(({ name }) => !FIELDS.has(name)) }
        : type,
    );
  return { ...data, __schema: { ...schema, types } };
}

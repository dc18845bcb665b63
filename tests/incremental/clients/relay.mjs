// Asks with Relay, and prints what its store has after each payload on a line.
import {
  Environment,
  Network,
  Observable,
  RecordSource,
  Store,
  createOperationDescriptor,
} from "relay-runtime";
import { meros } from "meros/browser";
import query from "./build/relay/pageQuery.graphql.js";

const [url, variables] = process.argv.slice(2);

/** Passes payloads of the form of August 2022 on as Relay's executor takes them. */
function fetchParts(operation, values) {
  return Observable.create((sink) => {
    (async () => {
      const response = await fetch(url, {
        method: "POST",
        headers: {
          "Content-Type": "application/json",
          Accept: "multipart/mixed;deferSpec=20220824, application/json",
        },
        body: JSON.stringify({ query: operation.text, variables: values }),
      });
      const parts = await meros(response);
      if (parts === response) {
        sink.next(await response.json());
      } else {
        for await (const { body } of parts) {
          const { incremental, hasNext, ...first } = body;
          if ("data" in first) sink.next({ ...first, extensions: { is_final: !hasNext } });
          const count = incremental?.length ?? 0;
          incremental?.forEach((part, number) =>
            sink.next({
              ...part,
              extensions: { is_final: !hasNext && number === count - 1 },
            }),
          );
        }
      }
      sink.complete();
    })().catch((error) => sink.error(error));
  });
}

const environment = new Environment({
  network: Network.create(fetchParts),
  store: new Store(new RecordSource()),
  deferDeduplicatedFields: true,
});
const operation = createOperationDescriptor(query, JSON.parse(variables));
environment.execute({ operation }).subscribe({
  next: () => {
    const users = Object.values(environment.getStore().getSource().toJSON());
    const user = users.find((one) => one.__typename === "User");
    console.log(JSON.stringify({ username: user?.username, plan: user?.plan }));
  },
  error: (error) => console.log(JSON.stringify({ error: String(error) })),
  complete: () => console.log(JSON.stringify({ complete: true })),
});

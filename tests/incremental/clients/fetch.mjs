// Asks with nothing but fetch, as docs/how-to/incremental-delivery.md shows it.
const [url, , query, variables] = process.argv.slice(2);

async function* payloads(url, request) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
    body: JSON.stringify(request),
  });
  let text = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const events = (text + piece).split("\n\n");
    text = events.pop();
    for (const event of events) {
      if (event.startsWith("event: next")) yield JSON.parse(event.split("\ndata: ")[1]);
    }
  }
}

for await (const payload of payloads(url, { query, variables: JSON.parse(variables) })) {
  console.log(JSON.stringify(payload));
}

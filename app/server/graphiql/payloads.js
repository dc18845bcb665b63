/** Reads responses: one answer, or several payloads as they come. */

/** Returns the answer in the body of a response. */
export async function answerOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    // A proxy in between answers in HTML: its status says more than a parser's complaint.
    throw new Error(`HTTP ${response.status} ${response.statusText}, and no JSON in the body`);
  }
}

/** Yields the payloads of a response; a whole answer is the only one. */
export async function* payloadsOf(response) {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
    yield await answerOf(response);
    return;
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split('\n\n');
    text = events.pop();
    for (const event of events) {
      if (event.startsWith('event: next')) yield JSON.parse(event.split('\ndata: ')[1]);
    }
  }
}

// Why a websocket could not be opened: browsers do not say, so the server is asked over plain HTTP.

const ASK_MS = 5000;
const UNKNOWN = "The server cannot be reached, or refused the connection.";

/** A sentence for the websocket at `url` that was closed before it opened. */
export async function refusal(url) {
  try {
    const answer = await fetch(url.replace(/^ws/, "http"), {
      headers: { "X-Page-Origin": location.origin },
      signal: AbortSignal.timeout(ASK_MS),
    });
    return said(answer.status, answer.headers.get("content-type") ?? "", (await answer.text()).trim());
  } catch {
    return UNKNOWN;
  }
}

function said(status, kind, text) {
  if (status === 426)
    return "The server is there, but the websocket does not reach it: a proxy in between has to pass on the headers Upgrade and Connection.";
  if (status === 403 && kind.startsWith("text/plain")) return `The server refused the connection: ${text}.`;
  if (status >= 500) return `The server does not answer (HTTP ${status}).`;
  return UNKNOWN;
}

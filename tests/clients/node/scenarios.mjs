// What the programs share. Each is called with its arguments and the name of a scenario, plays it against the
// server at PARLEY_URL, and prints what its client made of it as one line of JSON.
import { readFileSync } from "node:fs";

const PATIENCE = 30_000; // milliseconds for one scenario

export const { PARLEY_URL: url, PARLEY_KEY: key } = process.env;

// "Ever tried. Ever failed." and then quiet: PCM, 16 bits, mono, 24 kHz.
const speech = readFileSync(process.env.PARLEY_SPEECH);

// What makes the server's default model call a function, and talk for seconds on end.
export const CALL = '[[call weather {"city": "Oslo"}]]';
export const LONG_STORY = "[[words 400]] [[pace 20]]";

/** The recording in pieces of 100 ms, as a microphone would deliver it. */
export function* microphone() {
  for (let start = 0; start < speech.length; start += 4800) yield speech.subarray(start, start + 4800);
}

/** Events in the order of their arrival, for whoever waits for a certain one. */
export class Inbox {
  #unread = [];
  #wake = () => {};
  #failure;

  push(event) {
    this.#unread.push(event);
    this.#wake();
  }

  fail(error) {
    this.#failure ??= error;
    this.#wake();
  }

  /** The next event of that type; those before it are dropped. Throws what the client reported instead. */
  async until(type) {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const event = this.#unread.shift();
      if (event?.type === type) return event;
      if (!event) await new Promise((resolve) => (this.#wake = resolve));
    }
  }
}

/** Play one scenario. Whatever goes wrong ends the process, as it would end its user's. */
export async function play(scenarios, name) {
  const guard = setTimeout(() => {
    throw new Error(`${name} takes longer than ${PATIENCE} ms`);
  }, PATIENCE);
  console.log(JSON.stringify(await scenarios[name]()));
  clearTimeout(guard);
}

/**
 * For tests: what a program says, as it comes.
 *
 * @module
 */

/** Gives `take` each part of a stream of text, until its end. */
export async function keep(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    take(decoder.decode(bytes, { stream: true }));
  }
}

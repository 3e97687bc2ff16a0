/**
 * The words of `--snapshot-on EVENT FOLDER`, which are two or three where other
 * options have one. It needs no permission.
 *
 * @module
 */

/** What may happen. `rendezvous`: the prepared init asks what to do. */
export const EVENTS = ["rendezvous", "signal", "text"] as const;
/** What each is followed by. */
export const EVENT_FORM =
  'rendezvous FOLDER, signal FOLDER or text "WORDS" FOLDER';
/** Between the words of one option: no argument has it in it. */
export const SEPARATOR = "\0";

const OPTION = "--snapshot-on";

/**
 * The arguments of a process, with the words behind each `--snapshot-on` as its
 * one value. Words that are missing are told by who reads the value.
 */
export function foldEvents(args: readonly string[]): string[] {
  const folded: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    const [, inner] = arg.split(`${OPTION}=`);
    if (arg !== OPTION && !(arg.startsWith(`${OPTION}=`) && inner)) {
      folded.push(arg);
      continue;
    }
    const first = arg === OPTION ? i + 1 : i;
    const event = arg === OPTION ? args[first] : inner;
    if (event === undefined) return [...folded, arg];
    const more = args.slice(first + 1, first + (event === "text" ? 3 : 2));
    folded.push(`${OPTION}=${[event, ...more].join(SEPARATOR)}`);
    i = first + more.length;
  }
  return folded;
}

/** Where Deno keeps what it has fetched and compiled: `DENO_DIR`, or its default. */
export function denoFolder(): string {
  const env = (name: string) => Deno.env.get(name);
  const cache = env("XDG_CACHE_HOME") ?? `${env("HOME") ?? "/root"}/.cache`;
  return env("DENO_DIR") ?? `${cache}/deno`;
}

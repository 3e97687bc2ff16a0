/** What a first start downloads. */
import assert from "node:assert/strict";

const ROOT = new URL(".", import.meta.url).pathname;

/**
 * Runs a task as if for the first time on this host, with a registry that has
 * no packages.
 *
 * @returns the paths that it asked the registry for
 */
async function askedFor(...task: string[]): Promise<string[]> {
  const paths: string[] = [];
  const registry = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    ({ url }) => {
      paths.push(new URL(url).pathname);
      return new Response(null, { status: 404 });
    },
  );
  const cache = await Deno.makeTempDir({ prefix: "vireo-test-" });
  try {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["task", ...task],
      cwd: ROOT,
      env: {
        DENO_DIR: cache,
        NPM_CONFIG_REGISTRY: `http://127.0.0.1:${registry.addr.port}/`,
        NO_PROXY: "127.0.0.1",
        no_proxy: "127.0.0.1",
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
    assert(!success, "there are no packages to run with");
    return paths;
  } finally {
    await registry.shutdown();
    await Deno.remove(cache, { recursive: true });
  }
}

Deno.test("deno task: a first start downloads the one package that main.ts imports", async () => {
  const paths = await askedFor("boot", "--help");
  assert(paths.length > 0);
  for (const path of paths) assert.match(path, /^\/commander(\/|$)/);
});

/**
 * For tests: which module of this project names which other, in any way that
 * loads it or checks its types.
 *
 * @module
 */

/** How a module is named: by `import`, `import type`, `import()`, `new URL`. */
export type Way = "import" | "type" | "dynamic" | "url";

/** One module names another file; paths from the project's folder. */
export interface Reference {
  /** The module. */
  readonly from: string;
  /** The file; {@linkcode UNKNOWN} when it isn't written out. */
  readonly to: string;
  /** How. */
  readonly way: Way;
}

/** The project's folder. */
export const ROOT: URL = new URL("../../", import.meta.url);

/** What a URL made of a variable leads to. */
export const UNKNOWN = "?";

/** A worker, a module to load, a data file. */
const URL_OF_FILE = /new URL\(\s*([^,)]*),\s*import\.meta\.url,?\s*\)/g;

interface Info {
  modules: { specifier: string; dependencies?: Dependency[] }[];
}

interface Dependency {
  code?: { specifier: string };
  type?: { specifier: string };
  isDynamic?: boolean;
}

/** Every reference between files of the project; tests are left out. */
export async function references(): Promise<Reference[]> {
  const files = modules("");
  const found = await imports(files);
  for (const from of files) found.push(...urls(from));
  return found;
}

/**
 * What loading `entry` loads: itself, and all that static imports reach.
 */
export function closure(
  entry: string,
  references: readonly Reference[],
): Set<string> {
  const reached = new Set([entry]);
  for (const from of reached) {
    for (const reference of references) {
      if (reference.from !== from || reference.way !== "import") continue;
      reached.add(reference.to);
    }
  }
  return reached;
}

function modules(folder: string): string[] {
  return Deno.readDirSync(new URL(`./${folder}`, ROOT)).toArray()
    .flatMap(({ name, isDirectory }) => {
      if (name.startsWith(".") || name === "node_modules") return [];
      if (isDirectory) return modules(`${folder}${name}/`);
      const isModule = name.endsWith(".ts") && !name.endsWith("_test.ts");
      return isModule ? [folder + name] : [];
    });
}

async function imports(files: readonly string[]): Promise<Reference[]> {
  const entry = Deno.makeTempFileSync({ suffix: ".ts" });
  try {
    const all = files.map((file) => `import "${new URL(file, ROOT)}";`);
    Deno.writeTextFileSync(entry, all.join("\n"));
    const config = new URL("deno.json", ROOT).pathname;
    const { stdout, stderr, success } = await new Deno.Command(
      Deno.execPath(),
      { args: ["info", "--json", `--config=${config}`, entry] },
    ).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    const info: Info = JSON.parse(new TextDecoder().decode(stdout));
    return info.modules.flatMap(({ specifier, dependencies = [] }) =>
      dependencies.flatMap((dependency) => importOf(specifier, dependency))
    );
  } finally {
    Deno.removeSync(entry);
  }
}

function importOf(
  specifier: string,
  { code, type, isDynamic }: Dependency,
): Reference[] {
  const target = (code ?? type)?.specifier;
  if (!isOurs(specifier) || !target || !isOurs(target)) return [];
  const way = code === undefined ? "type" : isDynamic ? "dynamic" : "import";
  return [{ from: pathOf(specifier), to: pathOf(target), way }];
}

function urls(from: string): Reference[] {
  const url = new URL(from, ROOT);
  const found: Reference[] = [];
  for (const [, argument] of Deno.readTextFileSync(url).matchAll(URL_OF_FILE)) {
    const literal = /^"([^"]+)"$/.exec(argument!.trim())?.[1];
    const to = literal ? pathOf(new URL(literal, url).href) : UNKNOWN;
    found.push({ from, to, way: "url" });
  }
  return found;
}

function isOurs(specifier: string): boolean {
  return specifier.startsWith(ROOT.href);
}

function pathOf(specifier: string): string {
  return specifier.slice(ROOT.href.length);
}

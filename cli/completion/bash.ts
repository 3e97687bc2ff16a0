/**
 * Completion for bash, which needs nothing beside it.
 *
 * @module
 */
import type { CommandWords, ValueWords } from "./words.ts";

/**
 * The script.
 *
 * @param commands every command, the one without a name first
 */
export function bashScript(commands: readonly CommandWords[]): string {
  const names = commands.map(({ name }) => name).filter(Boolean);
  const values = commands.flatMap(({ name, options }) =>
    options.flatMap(({ flags, value }) =>
      value
        ? [`    ${flags.map((flag) => `${name}:${flag}`).join("|")})
      ${assignments(value)} ;;`]
        : []
    )
  );
  const rest = commands.map(({ name, options, argument }) =>
    `        "${name}") flags="${
      options.flatMap(({ flags }) => flags).join(" ")
    }"
          ${argument ? assignments(argument) : ":"} ;;`
  );
  return SCRIPT
    .replace("@NAMES@", () => names.join("|"))
    .replace("@VALUES@", () => values.join("\n"))
    .replace("@REST@", () => rest.join("\n"));
}

function assignments({ file, values, words, fileKeys }: ValueWords): string {
  return `values="${values.join(" ")}" words="${words.join(" ")}" ` +
    `keys="${fileKeys.join(" ")}" files=${file ? "y" : ""}`;
}

/**
 * Readline splits words at "=" too, and replaces what comes after: so the line
 * is split at blanks here, and what readline keeps is cut off at the end.
 */
const SCRIPT = String
  .raw`# bash completion for vireo, made by "vireo completion bash"
_vireo() {
  local line=\${COMP_LINE:0:COMP_POINT} command= flags= values= words= keys=
  local files= stem= word option whole key
  local -a before found
  read -ra before <<<"$line"
  if [[ $line == *[[:space:]] ]]; then before+=(""); fi
  whole=\${before[-1]} option=\${before[-2]}
  for word in "\${before[@]:1:\${#before[@]}-2}"; do
    case $word in @NAMES@) command=$word && break ;; esac
  done
  local kept=\${whole%"$2"}
  if [[ $whole == --*=* ]]; then
    stem=\${whole%%=*}= option=\${whole%%=*} whole=\${whole#*=}
  fi
  case $command:$option in
@VALUES@
    *)
      case $command in
@REST@
      esac
      if [[ $whole == -* || -z $values$files ]]; then values=$flags files=; fi ;;
  esac
  if [[ -n $words && $whole == *,* ]]; then
    stem+=\${whole%,*}, whole=\${whole##*,} values=$words files=
  fi
  if [[ -n $keys && $whole == *=* ]]; then
    key=\${whole%%=*}= stem+=$key whole=\${whole#*=} values=
    if [[ " $keys " == *" $key "* ]]; then files=y; else files=; fi
  fi
  mapfile -t found < <(compgen -W "$values" -- "$whole"
    if [[ $files ]]; then compgen -f -- "$whole"; fi)
  found=("\${found[@]/#/$stem}")
  COMPREPLY=("\${found[@]#"$kept"}")
  if [[ $files ]]; then compopt -o filenames 2>/dev/null; fi
  if [[ \${COMPREPLY[0]} == *= ]]; then compopt -o nospace 2>/dev/null; fi
}
complete -F _vireo vireo`.replaceAll("\\$", "$");

/**
 * Completion for zsh: a file of its `fpath`, or sourced after `compinit`.
 *
 * @module
 */
import type { CommandWords, OptionWords, ValueWords } from "./words.ts";

/**
 * The script.
 *
 * @param commands every command, the one without a name first
 */
export function zshScript(commands: readonly CommandWords[]): string {
  const [first, ...others] = commands;
  const names = others.map(({ name, about }) => quoted(`${name}:${about}`));
  const cases = others.map((command) =>
    `        ${command.name})
          _arguments ${specs(command).join(" \\\n            ")} ;;`
  );
  return SCRIPT
    .replace("@OPTIONS@", () => first!.options.map(optionSpec).join(" "))
    .replace("@NAMES@", () => names.join("\n        "))
    .replace("@CASES@", () => cases.join("\n"));
}

function specs({ options, argument }: CommandWords): string[] {
  const specs = options.map(optionSpec);
  if (argument) specs.push(quoted(`:${argument.name}: ${action(argument)}`));
  return specs;
}

/** Such as `*--disk=[disk]:file: _vireo_value ...`. */
function optionSpec({ flags, about, repeatable, value }: OptionWords): string {
  const text = about.replaceAll(/[\][\\:]/g, "\\$&");
  const end = value ? `:${value.name}: ${action(value)}` : "";
  const star = repeatable ? "*" : "";
  return flags.map((flag) =>
    quoted(`${star}${flag}${value ? "=" : ""}[${text}]${end}`)
  ).join(" ");
}

function action({ file, values, words, fileKeys }: ValueWords): string {
  const lists = [values, words, fileKeys].map((list) => `"${list.join(" ")}"`);
  return `_vireo_value "${file ? "y" : ""}" ${lists.join(" ")}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

const SCRIPT = String.raw`#compdef vireo
# zsh completion for vireo, made by "vireo completion zsh"

# _vireo_value FILES VALUES WORDS KEYS: a value is a file or one of VALUES, with
# WORDS after commas; after one of KEYS comes a file.
_vireo_value() {
  local files=$1 values=$2 key
  if [[ -n $3 ]] && compset -P '*,'; then values=$3 files=; fi
  if [[ -n $values ]] && compset -P '[a-z]##='; then
    for key in \${=4}; do
      if [[ $IPREFIX == *$key ]]; then _files; return; fi
    done
    return 1
  fi
  local -a open=(\${(M)\${=values}:#*=}) closed=(\${\${=values}:#*=})
  (( $#open )) && compadd -S '' -- $open
  (( $#closed )) && compadd -- $closed
  [[ -z $files ]] || _files
}

_vireo() {
  setopt local_options extended_glob
  local context state state_descr line
  local -a commands
  typeset -A opt_args
  _arguments -C @OPTIONS@ ':command:->command' '*::argument:->arguments' && return
  case $state in
    command)
      commands=(
        @NAMES@
      )
      _describe -t commands command commands ;;
    arguments)
      case $words[1] in
@CASES@
      esac ;;
  esac
}

if [[ $funcstack[1] == _vireo ]]; then
  _vireo "$@"
else
  compdef _vireo vireo
fi`.replaceAll("\\$", "$");

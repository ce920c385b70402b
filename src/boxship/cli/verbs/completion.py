"""boxship completion: the script that makes a shell ask this program what could come next."""

from boxship.cli.call import Call, Failure
from boxship.cli.flags import Command

COMMAND = Command("bash|zsh|fish", least=1, most=1, completes=("shells",))

BASH = r"""# bash completion for boxship: source <(boxship completion bash)
_boxship() {
    local current=${COMP_WORDS[COMP_CWORD]} line words=() files=
    local before=${COMP_LINE:0:COMP_POINT}
    # Bash splits words at "=" and ":" too; the program wants them as they were typed.
    read -r -a words <<< "$before"
    [[ $before == *[[:space:]] ]] && words+=("")
    local typed=${words[${#words[@]}-1]}
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then files=1; continue; fi
        COMPREPLY+=("${line#"${typed%"$current"}"}")
    done < <("${words[0]}" __complete -- "${words[@]:1}" 2>/dev/null)
    [[ $files ]] && while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$current")
    [[ ${COMPREPLY[0]} == *: ]] && compopt -o nospace
    return 0
}
complete -F _boxship boxship
"""
ZSH = r"""#compdef boxship
# zsh completion for boxship: source <(boxship completion zsh)
_boxship() {
    local -a found
    found=("${(@f)$("${words[1]}" __complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    if (( ${found[(Ie):files]} )); then
        found=("${(@)found:#:files}")
        _files
    fi
    found=("${(@)found:#}")
    (( ${#found} )) && compadd -a found
}
compdef _boxship boxship
"""
FISH = r"""# fish completion for boxship: boxship completion fish | source
function __boxship_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in ($words[1] __complete -- $words[2..-1] 2>/dev/null)
        if test "$line" = ":files"
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c boxship -f -a '(__boxship_complete)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def run(call: Call) -> int:
    shell = call.arguments[0]
    if shell not in SCRIPTS:
        raise Failure(f"unsupported: completion for {shell}: it must be bash, zsh or fish")
    call.write(SCRIPTS[shell])
    return 0

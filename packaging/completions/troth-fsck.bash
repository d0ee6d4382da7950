# bash completion for troth-fsck.

_troth_fsck() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --inspect) mapfile -t COMPREPLY < <(compgen -W "summary commits node segments segment" -- "$word") ;;
    --key-file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    *)
      if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "--repair --no-blocks --key-file --json --quiet --inspect --help --version" -- "$word")
      else
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
      fi ;;
  esac
}
complete -F _troth_fsck troth-fsck

# bash completion for the daemons of Troth: four words, two more for the KDC, and files after three.

_troth_daemon() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --config | --dump | --load)
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
  esac
  local words="--config --check --help --version"
  if [[ ${COMP_WORDS[0]##*/} == troth-kdc ]]; then
    words+=" --dump --load"
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ ${COMP_WORDS[0]##*/} == troth-mount && $word != -* ]]; then
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$word")
  fi
}
complete -o filenames -F _troth_daemon troth-kdc troth-lockserver troth-fileserver troth-mount

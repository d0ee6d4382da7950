# bash completion for tools that answer --help and --version only.

complete -W "--help --version" lockctl

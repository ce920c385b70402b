# bash loads this file when "boxship" is completed for the first time. The program knows its own verbs and flags.
source <(boxship completion bash)

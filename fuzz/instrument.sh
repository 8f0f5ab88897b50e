#!/bin/sh
# As RUSTC_WRAPPER: instruments the program's own crate and the targets, and leaves the dependencies as
# they are. Where those are built already, a target is ready in minutes instead of an hour; what is
# lost is guidance inside DataFusion and the parser crate, and the address sanitizer.
rustc=$1
shift
case " $* " in
*" --crate-name strandline "* | *"/fuzz_targets/"* | *" fuzz_targets/"*)
    set -- "$@" --cfg fuzzing -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares \
        -Cdebug-assertions=on -Coverflow-checks=on
    ;;
esac
exec "$rustc" "$@"

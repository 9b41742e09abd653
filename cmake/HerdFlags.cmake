# Compiler and linker flags of every target: C11, warnings as errors, hardening, sanitizers on request.
set(HERD_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them: address,undefined or thread")
option(HERD_COVERAGE "Compile with gcov counters" OFF)
option(HERD_FUZZ "Build the libFuzzer targets (clang)" OFF)
option(HERD_WERROR "Treat warnings as errors" ON)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()

add_library(herd_flags INTERFACE)
target_compile_definitions(herd_flags INTERFACE _GNU_SOURCE)
target_compile_options(herd_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
    -Wpointer-arith -Wcast-qual -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wdouble-promotion
    -Wimplicit-fallthrough -Wconversion -Wno-sign-conversion
    -fno-common -fno-omit-frame-pointer -fstack-protector-strong)
if(HERD_WERROR)
    target_compile_options(herd_flags INTERFACE -Werror)
endif()
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(herd_flags INTERFACE -fstack-clash-protection -Wlogical-op -Wduplicated-cond)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    target_compile_options(herd_flags INTERFACE -fcf-protection=full)
endif()
target_link_options(herd_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)

# Assertions state what must hold in production too, so NDEBUG is never defined.
# The simulator and the units take half the time that they take without.
set(CMAKE_C_FLAGS_DEBUG "-Og -g")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
if(CMAKE_BUILD_TYPE MATCHES "Rel")
    target_compile_definitions(herd_flags INTERFACE _FORTIFY_SOURCE=2)
endif()

# The server is optimised as a whole, across files: a tenth less time an IAMAT; so is the simulator. Other programs take the ordinary half of
# the same objects, so that a hundred tests need not be optimised one by one.
if(CMAKE_BUILD_TYPE MATCHES "Rel" AND CMAKE_C_COMPILER_ID STREQUAL "GNU" AND NOT HERD_SANITIZE)
    target_compile_options(herd_flags INTERFACE -flto=auto -ffat-lto-objects)
    target_link_options(herd_flags INTERFACE $<IF:$<BOOL:$<TARGET_PROPERTY:HERD_WHOLE>>,-flto=auto,-fno-lto>)
endif()

if(HERD_SANITIZE)
    target_compile_options(herd_flags INTERFACE -fsanitize=${HERD_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(herd_flags INTERFACE -fsanitize=${HERD_SANITIZE})
endif()
if(HERD_FUZZ)
    target_compile_options(herd_flags INTERFACE -fsanitize=fuzzer-no-link -O1)
endif()
if(HERD_COVERAGE)
    target_compile_options(herd_flags INTERFACE --coverage -O0)
    target_link_options(herd_flags INTERFACE --coverage)
endif()

# llama.cpp from the pin, reduced to what we use: ggml, llama, mtmd and a part of common.
#
# ggml's loader and base are shared libraries with names of our own, so that this package can live
# in one process with any other that carries llama.cpp; everything above them is static and hidden.
# The CPU kernels are modules, one per variant, chosen at run time.

find_package(Python COMPONENTS Interpreter REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} ${CMAKE_CURRENT_LIST_DIR}/../../llama.cpp/fetch.py
  OUTPUT_VARIABLE LLAMA_CPP_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "llama.cpp source: ${LLAMA_CPP_DIR}")
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../../llama.cpp/pin.toml pin REGEX "^upstream = ")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" MULLAMA_PIN "${pin}")

# The seed's switches, read from the environment.
foreach(pair LLAMA_CUDA=GGML_CUDA LLAMA_METAL=GGML_METAL LLAMA_HIPBLAS=GGML_HIP
             LLAMA_CLBLAST=GGML_OPENCL LLAMA_CUDA_F16=GGML_CUDA_F16 LLAMA_VULKAN=GGML_VULKAN
             LLAMA_RPC=GGML_RPC)
  string(REPLACE "=" ";" pair ${pair})
  list(GET pair 0 switch)
  list(GET pair 1 option)
  if("$ENV{${switch}}")
    message(STATUS "${switch}=$ENV{${switch}}: ${option}=ON")
    set(${option} ON CACHE BOOL "" FORCE)
  endif()
endforeach()
if(GGML_CUDA_F16 AND NOT GGML_CUDA)
  message(FATAL_ERROR "LLAMA_CUDA_F16 needs LLAMA_CUDA=1")
endif()

# Which CPU kernels. `default` are the steps that matter in speed; a CPU between two steps uses the
# lower one. `all` is for release wheels. `native` builds for this machine only, without modules.
set(default_x86 x64 haswell alderlake icelake zen4)
set(default_arm armv8.0_1 armv8.2_2 armv8.6_1 armv9.2_1 apple_m1 apple_m2_m3 apple_m4)
set(native OFF)
if(MULLAMA_CPU_VARIANTS STREQUAL "native" OR sanitize_llama)
  set(native ON)
elseif(MULLAMA_CPU_VARIANTS STREQUAL "default")
  set(MULLAMA_CPU_LIST ${default_x86} ${default_arm})
elseif(NOT MULLAMA_CPU_VARIANTS STREQUAL "all")
  set(MULLAMA_CPU_LIST ${MULLAMA_CPU_VARIANTS})
endif()

set(GGML_CCACHE OFF)
set(GGML_LLAMAFILE ON)      # llama.cpp's own default when it is the top project
set(GGML_CUDA_GRAPHS ON)    # likewise
set(GGML_ALL_WARNINGS OFF)
set(GGML_BUILD_TESTS OFF)
set(GGML_BUILD_EXAMPLES OFF)
set(LLAMA_ALL_WARNINGS OFF)
set(LLAMA_BUILD_COMMON OFF)
set(LLAMA_BUILD_MTMD ON)
set(LLAMA_OPENSSL OFF)
set(LLAMA_SUBPROCESS OFF)
set(MTMD_VIDEO OFF CACHE BOOL "" FORCE)
if(native)
  set(GGML_NATIVE ON)
  set(BUILD_SHARED_LIBS OFF)
  if(sanitize_llama)
    set(GGML_OPENMP OFF)    # sanitizers do not see OpenMP's own synchronisation
  endif()
else()
  set(GGML_NATIVE OFF)
  set(GGML_BACKEND_DL ON)
  set(GGML_CPU_ALL_VARIANTS ON)
  set(BUILD_SHARED_LIBS ON)
endif()

# ggml makes its loader depend on every CPU variant; keep the ones on our list. With
# EXCLUDE_FROM_ALL the others are then never built.
function(add_dependencies target)
  if(target STREQUAL "ggml" AND MULLAMA_CPU_LIST AND "${ARGN}" MATCHES "^ggml-cpu-(.+)$"
     AND NOT CMAKE_MATCH_1 IN_LIST MULLAMA_CPU_LIST)
    return()
  endif()
  _add_dependencies(${target} ${ARGN})
endfunction()

add_subdirectory(${LLAMA_CPP_DIR}/ggml ggml EXCLUDE_FROM_ALL)
set(BUILD_SHARED_LIBS OFF)
add_subdirectory(${LLAMA_CPP_DIR} llama EXCLUDE_FROM_ALL)

# C code may be left by an exception of ours (core/guard.cpp); give it the tables to unwind.
set(MULLAMA_GGML_MODULES)
get_property(ggml_targets DIRECTORY ${LLAMA_CPP_DIR}/ggml/src PROPERTY BUILDSYSTEM_TARGETS)
foreach(target ${ggml_targets})
  get_target_property(type ${target} TYPE)
  if(type MATCHES "LIBRARY" AND NOT MSVC)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:C>:-fexceptions>)
  endif()
  if(type STREQUAL "MODULE_LIBRARY")
    if(NOT MULLAMA_CPU_LIST OR NOT target MATCHES "^ggml-cpu-(.+)$" OR CMAKE_MATCH_1 IN_LIST MULLAMA_CPU_LIST)
      list(APPEND MULLAMA_GGML_MODULES ${target})
    endif()
  endif()
endforeach()

if(NOT native)
  foreach(target ggml-base ggml)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME mullama-${target})
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
  endforeach()
  foreach(target ggml-base ggml ${MULLAMA_GGML_MODULES})
    if(APPLE)
      set_target_properties(${target} PROPERTIES INSTALL_RPATH "@loader_path" BUILD_WITH_INSTALL_RPATH ON)
    else()
      set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN" BUILD_WITH_INSTALL_RPATH ON)
    endif()
    set_property(TARGET ${target} PROPERTY VERSION)
    set_property(TARGET ${target} PROPERTY SOVERSION)
    # One folder, so that the loader finds the modules from a build tree too.
    set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
  endforeach()
  if(UNIX AND NOT APPLE)
    target_link_options(ggml-base PRIVATE -Wl,-Bsymbolic)
    target_link_options(ggml PRIVATE -Wl,-Bsymbolic)
  endif()
endif()

include(${CMAKE_CURRENT_LIST_DIR}/quick.cmake)
mullama_precompile(llama ${LLAMA_CPP_DIR}/src/llama-model.h ${LLAMA_CPP_DIR}/src/llama-impl.h <algorithm>)

# The part of common we link: templates and their parsers, grammars, sampling, speculative, fit.
# Not the argument parser, downloader, console or presets.
set(common ${LLAMA_CPP_DIR}/common)
include(${common}/parsers/sources.cmake)
list(TRANSFORM LLAMA_CHAT_PARSERS_SOURCES REPLACE ".*/parsers/" "${common}/parsers/")
set(LLAMA_BUILD_NUMBER 0)
set(LLAMA_BUILD_COMMIT ${MULLAMA_PIN})
set(BUILD_COMPILER "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
set(BUILD_TARGET "${CMAKE_SYSTEM_PROCESSOR}")
configure_file(${common}/build-info.cpp.in ${CMAKE_BINARY_DIR}/build-info.cpp)
set(common_sources)
foreach(name chat chat-auto-parser-generator chat-auto-parser-helpers chat-diff-analyzer
             chat-peg-parser common debug fit imatrix-loader json json-schema
             json-schema-to-grammar llguidance log ngram-cache ngram-map ngram-mod peg-parser
             reasoning-budget sampling speculative trie unicode
             jinja/caps jinja/lexer jinja/parser jinja/string jinja/value)
  list(APPEND common_sources ${common}/${name}.cpp)
endforeach()
list(APPEND common_sources ${CMAKE_CURRENT_SOURCE_DIR}/core/jinja_bounded.cpp) # for jinja/runtime.cpp
add_library(mullama_llama STATIC ${common_sources} ${LLAMA_CHAT_PARSERS_SOURCES} ${CMAKE_BINARY_DIR}/build-info.cpp)
target_include_directories(mullama_llama SYSTEM PUBLIC
  ${common} ${LLAMA_CPP_DIR}/include ${LLAMA_CPP_DIR}/ggml/include ${LLAMA_CPP_DIR}/tools/mtmd)
target_compile_features(mullama_llama PRIVATE cxx_std_17)
set_target_properties(mullama_llama PROPERTIES CXX_STANDARD 17)
if(sanitize_llama AND MULLAMA_SANITIZE STREQUAL "thread")
  target_compile_options(mullama_llama PRIVATE -O0) # half the build's time; nothing here is quick or shared
endif()
target_link_libraries(mullama_llama PUBLIC mtmd llama ggml vendor::nlohmann vendor::sheredom)
mullama_precompile(mullama_llama ${common}/chat.h ${common}/json-schema-to-grammar.h
  ${common}/log.h <algorithm> <regex> <unordered_map>)
if(NOT MSVC AND NOT sanitize_llama)
  foreach(source ${common_sources} ${LLAMA_CHAT_PARSERS_SOURCES})
    if(NOT source MATCHES "(sampling|speculative|ngram-[a-z]+)\\.cpp$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "-O1")
    endif()
  endforeach()
endif()
if(MULLAMA_GGML_MODULES)
  add_dependencies(mullama_llama ${MULLAMA_GGML_MODULES})
endif()

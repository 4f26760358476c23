# What makes a build from nothing quick: headers are read once, small files are compiled together,
# and only what runs often is optimised much. A third of the processor time, without these.

# ccache cannot see through precompiled headers, and saves more than they do.
function(mullama_precompile target)
  if(NOT CCACHE)
    target_precompile_headers(${target} PRIVATE ${ARGN})
    string(MD5 list "${ARGN}") # CMake does not make them anew when the list alone changes
    target_compile_definitions(${target} PRIVATE MULLAMA_HEADERS_${list})
  endif()
endfunction()

if(MSVC OR sanitize_llama)
  return()
endif()

# ggml alone keeps -O3.
foreach(target llama mtmd)
  target_compile_options(${target} PRIVATE -O2)
endforeach()

# Read once, while a model is loaded.
set(loading llama-model llama-model-loader llama-model-saver llama-arch llama-chat)
list(TRANSFORM loading REPLACE "(.+)" "${LLAMA_CPP_DIR}/src/\\1.cpp")
set_source_files_properties(${loading} TARGET_DIRECTORY llama PROPERTIES COMPILE_OPTIONS -O1)
set(mtmd ${LLAMA_CPP_DIR}/tools/mtmd)
set_source_files_properties(${mtmd}/clip.cpp TARGET_DIRECTORY mtmd PROPERTIES COMPILE_OPTIONS -O1)

# mtmd's models are many small files with the same long headers; its other files go by themselves.
file(GLOB alone ${mtmd}/*.cpp)
set_source_files_properties(${alone} TARGET_DIRECTORY mtmd PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
set_target_properties(mtmd PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 12)

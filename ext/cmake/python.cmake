# The Python module and what the wheel carries beside it.

find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(
  COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir
  OUTPUT_VARIABLE nanobind_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind 3 CONFIG REQUIRED)

nanobind_add_module(_core NB_STATIC NB_DOMAIN mullama STABLE_ABI
  bind/adapter.cpp
  bind/backend.cpp
  bind/embedding.cpp
  bind/engine.cpp
  bind/errors.cpp
  bind/grammar.cpp
  bind/model.cpp
  bind/module.cpp
  bind/playback.cpp
  bind/prompt.cpp
  bind/ring.cpp
  bind/sampling.cpp
  bind/session.cpp
  bind/quantize.cpp
  bind/stream.cpp
)
target_link_libraries(_core PRIVATE mullama_core)
target_compile_definitions(_core PRIVATE MULLAMA_PIN="${MULLAMA_PIN}" MULLAMA_VERSION="${SKBUILD_PROJECT_VERSION}")
target_include_directories(_core SYSTEM PRIVATE ${NB_DIR}/include ${Python_INCLUDE_DIRS})
mullama_warnings(_core)
mullama_precompile(_core ${mullama_headers} <nanobind/nanobind.h>)
if(APPLE)
  set_target_properties(_core PROPERTIES INSTALL_RPATH "@loader_path/lib")
elseif(UNIX)
  set_target_properties(_core PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
  target_link_options(_core PRIVATE -Wl,--exclude-libs,ALL)
endif()

install(TARGETS _core LIBRARY DESTINATION mullama_media COMPONENT mullama)
if(BUILD_SHARED_LIBS OR GGML_BACKEND_DL)
  install(TARGETS ggml-base ggml ${MULLAMA_GGML_MODULES}
    LIBRARY DESTINATION mullama_media/lib COMPONENT mullama
    RUNTIME DESTINATION mullama_media/lib COMPONENT mullama)
endif()
set(samples ${CMAKE_CURRENT_LIST_DIR}/../../samples)
install(FILES ${samples}/expected.json ${samples}/shapes.png ${samples}/seven.wav ${samples}/command.wav
  DESTINATION mullama_media/samples COMPONENT mullama)
include(cmake/licences.cmake)

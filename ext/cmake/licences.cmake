# The licences of everything that is compiled into the wheel, under mullama_media/licenses.

function(mullama_licence name file)
  if(NOT EXISTS ${file})
    message(FATAL_ERROR "the licence of ${name} is not at ${file}")
  endif()
  install(FILES ${file} DESTINATION mullama_media/licenses RENAME ${name}.txt COMPONENT mullama)
endfunction()

# For headers that carry their licence in a comment: from `mark` to the comment's end.
function(mullama_licence_inside name header mark)
  file(READ ${header} text)
  string(FIND "${text}" "${mark}" at REVERSE)
  if(at EQUAL -1)
    message(FATAL_ERROR "no licence found inside ${header}")
  endif()
  string(SUBSTRING "${text}" ${at} -1 text)
  string(FIND "${text}" "*/" end)
  string(SUBSTRING "${text}" 0 ${end} text)
  file(WRITE ${CMAKE_BINARY_DIR}/licenses/${name}.txt "${text}")
  mullama_licence(${name} ${CMAKE_BINARY_DIR}/licenses/${name}.txt)
endfunction()

mullama_licence(llama.cpp ${LLAMA_CPP_DIR}/LICENSE)
mullama_licence(llama.cpp-authors ${LLAMA_CPP_DIR}/AUTHORS)
mullama_licence(nlohmann-json ${LLAMA_CPP_DIR}/licenses/LICENSE-jsonhpp)
mullama_licence(sha256 ${LLAMA_CPP_DIR}/vendor/hash/sha256/LICENSE)
mullama_licence(rotate-bits ${LLAMA_CPP_DIR}/vendor/hash/rotate-bits/LICENSE.md)
mullama_licence(xxhash ${LLAMA_CPP_DIR}/vendor/hash/xxhash/LICENSE)
mullama_licence_inside(stb ${LLAMA_CPP_DIR}/vendor/stb/stb_image.h "This software is available under")
mullama_licence_inside(miniaudio ${LLAMA_CPP_DIR}/vendor/miniaudio/miniaudio.h "This software is available as")

execute_process(
  COMMAND ${Python_EXECUTABLE} -c "
import importlib.metadata
for file in importlib.metadata.files('nanobind'):
    if file.name == 'LICENSE':
        print(file.locate())"
  OUTPUT_VARIABLE nanobind_licence OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
mullama_licence(nanobind ${nanobind_licence})
mullama_licence_inside(robin-map ${NB_DIR}/ext/robin_map/include/tsl/robin_map.h "MIT License")

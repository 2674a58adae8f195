set(VICINAL_WARNINGS -Wall -Wextra -Wconversion -Wshadow)
if(VICINAL_WERROR)
  list(APPEND VICINAL_WARNINGS -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False alarms in the standard library's own code: "text" + std::string (GCC bug 105651), and moving a std::variant that may
  # hold a std::function. The sanitizers look for the real ones.
  list(APPEND VICINAL_WARNINGS -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  list(APPEND VICINAL_WARNINGS -Wno-unneeded-internal-declaration)  # a comparison that only a concept asks for is "not needed"
endif()
# One rounding per operation: no contraction to fused multiply-add unless the code asks for it. This is what makes codes and
# distances the same on every instruction set (docs/numerics.md).
set(VICINAL_NUMERICS -ffp-contract=off)
if(VICINAL_SANITIZE)
  add_compile_options(-fsanitize=${VICINAL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${VICINAL_SANITIZE})
endif()

# One call per top-level folder (layer). Headers lie flat in <folder>/ and are included as <vicinal/<folder>/x.hpp>, in the
# build tree (through a symbolic link) as after install (through the file set). Every component has an include root of its
# own, so a header can only reach the components it links: an include against the arrow of the layers does not compile.
function(vicinal_component name)
  cmake_parse_arguments(A "" "" "HEADERS;SOURCES;PUBLIC_DEPS;PRIVATE_DEPS" ${ARGN})
  set(root "${PROJECT_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${root}/vicinal")
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${name}" "${root}/vicinal/${name}" SYMBOLIC)
  list(TRANSFORM A_HEADERS PREPEND "${root}/vicinal/${name}/")
  list(TRANSFORM A_SOURCES PREPEND "${PROJECT_SOURCE_DIR}/${name}/")
  add_library(vicinal_${name} STATIC ${A_SOURCES})
  add_library(vicinal::${name} ALIAS vicinal_${name})
  target_compile_features(vicinal_${name} PUBLIC cxx_std_20)
  target_compile_options(vicinal_${name} PRIVATE ${VICINAL_WARNINGS} ${VICINAL_NUMERICS}
    "-ffile-prefix-map=${root}/vicinal=${PROJECT_SOURCE_DIR}")
  target_sources(vicinal_${name} PUBLIC FILE_SET HEADERS BASE_DIRS "${root}" FILES ${A_HEADERS})
  target_link_libraries(vicinal_${name} PUBLIC ${A_PUBLIC_DEPS} PRIVATE ${A_PRIVATE_DEPS})
  set_target_properties(vicinal_${name} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ON
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  set_property(GLOBAL APPEND PROPERTY VICINAL_COMPONENTS ${name})
endfunction()

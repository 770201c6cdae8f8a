# How every folder of ours is built: one call a component, the same warnings and sanitizers for all.

add_library(feedvault_flags INTERFACE)
target_compile_options(feedvault_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Woverloaded-virtual -Wformat=2 -fno-omit-frame-pointer
  $<$<BOOL:${FEEDVAULT_WERROR}>:-Werror>
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op -Wsuggest-override>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
if(CMAKE_UNITY_BUILD AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # It is about headers, and takes every file in a unity file for one.
  target_compile_options(feedvault_flags INTERFACE -Wno-subobject-linkage)
endif()
target_compile_definitions(feedvault_flags INTERFACE
  FEEDVAULT_VERSION="${PROJECT_VERSION}"
  $<$<BOOL:${FEEDVAULT_FAILPOINTS}>:FEEDVAULT_FAILPOINTS=1>)
target_include_directories(feedvault_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(FEEDVAULT_SANITIZE)
  target_compile_options(feedvault_flags INTERFACE
    -fsanitize=${FEEDVAULT_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(feedvault_flags INTERFACE -fsanitize=${FEEDVAULT_SANITIZE})
endif()
if(FEEDVAULT_FUZZ)
  target_compile_options(feedvault_flags INTERFACE -fsanitize=fuzzer-no-link)
  target_link_options(feedvault_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# add_component(storage SOURCES a.cc DEPS base LIBS PkgConfig::mysqlclient)
#   DEPS: our components, visible to users. LIBS: third-party, wrapped (PRIVATE).
#   PUBLIC_LIBS: third-party libraries whose types appear in our public headers.
function(add_component name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LIBS;PUBLIC_LIBS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name}
    PUBLIC ${arg_DEPS} ${arg_PUBLIC_LIBS}
    PRIVATE feedvault_flags ${arg_LIBS})
endfunction()

# add_program(feedvault-controller SOURCES main.cc DEPS controller)
function(add_program name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedvault_flags ${arg_DEPS} ${arg_LIBS})
  install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# The brokers that tests of the pipeline run on, one after the other: test names end in /<broker>, and
# tests/support/nats_server.h reads which it is. Sanitizers see nothing of nats-server.
set(FEEDVAULT_TEST_BROKERS feedvault-broker)
if(NOT FEEDVAULT_SANITIZE)
  list(APPEND FEEDVAULT_TEST_BROKERS nats-server)
endif()

# add_feedvault_test(base_unit LABEL unit SOURCES a_test.cc DEPS base [TIMEOUT 60] [THREADS] [CNATS]
#                    [BROKERS [NATS_SERVER_FILTER -Slow.*]])
#   One executable; every TEST in it becomes a ctest of its own with the given label. Unit tests under
#   sanitizers are one ctest an executable: its start costs more than most of them.
#   THREADS: it is there, or starts servers of ours, to run several threads: what ThreadSanitizer is
#   for. The target threaded_tests builds those, and nothing else.
#   CNATS: speaks TLS through cnats, whose threads race among themselves.
#   BROKERS: starts the pipeline's broker; every TEST becomes a ctest for each of
#   FEEDVAULT_TEST_BROKERS, on nats-server those that the filter (--gtest_filter) lets through.
add_custom_target(threaded_tests)
function(add_feedvault_test name)
  cmake_parse_arguments(arg "THREADS;CNATS;BROKERS" "LABEL;TIMEOUT;NATS_SERVER_FILTER" "SOURCES;DEPS;LIBS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE feedvault_flags ${arg_DEPS} ${arg_LIBS} GTest::gtest_main)
  if(arg_THREADS)
    add_dependencies(threaded_tests ${name})
  endif()
  set(environment "")
  if(arg_CNATS AND FEEDVAULT_SANITIZE MATCHES thread)
    set(environment ENVIRONMENT
      "TSAN_OPTIONS=halt_on_error=1:suppressions=${CMAKE_SOURCE_DIR}/cmake/cnats.tsan")
  endif()
  include(GoogleTest)
  set(common TEST_PREFIX "${arg_LABEL}/" DISCOVERY_TIMEOUT 60 DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT} ${environment})
  if(FEEDVAULT_SANITIZE MATCHES thread AND NOT arg_THREADS)
    return()
  endif()
  if(FEEDVAULT_SANITIZE AND arg_LABEL STREQUAL unit)
    add_test(NAME unit/${name} COMMAND ${name})
    set_tests_properties(unit/${name} PROPERTIES LABELS unit TIMEOUT 600 COST 100 ${environment})
    return()
  endif()
  if(NOT arg_BROKERS)
    gtest_discover_tests(${name} ${common})
    return()
  endif()
  add_dependencies(${name} feedvault-broker)
  foreach(broker ${FEEDVAULT_TEST_BROKERS})
    set(filter "")
    if(broker STREQUAL nats-server AND arg_NATS_SERVER_FILTER)
      set(filter TEST_FILTER ${arg_NATS_SERVER_FILTER})
    endif()
    gtest_discover_tests(${name} TEST_SUFFIX "/${broker}" ${filter} ${common}
      ENVIRONMENT_MODIFICATION FEEDVAULT_TEST_BROKER=set:${broker})
  endforeach()
endfunction()

# add_fuzz_target(config SOURCES config_fuzz.cc DEPS base)
#   With FEEDVAULT_FUZZ: a libFuzzer program. Always: a ctest that replays corpus/<name>.
function(add_fuzz_target name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  if(FEEDVAULT_FUZZ)
    add_executable(${name}_fuzz ${arg_SOURCES})
    target_link_libraries(${name}_fuzz PRIVATE feedvault_flags ${arg_DEPS} ${arg_LIBS})
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  endif()
  add_executable(${name}_replay ${arg_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
  set_target_properties(${name}_replay PROPERTIES UNITY_BUILD OFF)  # C functions, no namespace
  target_link_libraries(${name}_replay PRIVATE feedvault_flags ${arg_DEPS} ${arg_LIBS})
  add_test(NAME fuzz/${name} COMMAND ${name}_replay ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 60)
endfunction()

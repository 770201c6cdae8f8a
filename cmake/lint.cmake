# What .ci/run gives to clang-tidy: the product's files, included by a few units. Nearly all of the time
# goes into third-party headers, and so it is spent a few times only. Names in the anonymous namespaces
# of a unit's files must therefore differ.
#
# add_lint_unit(gateway SOURCES a.cc b.cc)
function(add_lint_unit name)
  cmake_parse_arguments(arg "" "" "SOURCES" ${ARGN})
  list(SORT arg_SOURCES)
  list(TRANSFORM arg_SOURCES REPLACE "^${CMAKE_SOURCE_DIR}/(.*)$" "#include \"\\1\"")
  list(JOIN arg_SOURCES "\n" text)
  set(unit ${CMAKE_BINARY_DIR}/lint/${name}.cc)
  file(CONFIGURE OUTPUT ${unit} CONTENT "@text@\n" @ONLY)
  add_library(lint_${name} OBJECT EXCLUDE_FROM_ALL ${unit})
  set_target_properties(lint_${name} PROPERTIES UNITY_BUILD OFF)
  target_link_libraries(lint_${name} PRIVATE
    feedvault_flags feed_messages spdlog::spdlog Boost::headers CLI11::CLI11 nlohmann_json::nlohmann_json
    prometheus-cpp::core PkgConfig::tomlplusplus PkgConfig::nats PkgConfig::mysqlclient
    PkgConfig::crypt OpenSSL::SSL protobuf::libprotobuf)
endfunction()

foreach(folder base storage proto client controller)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cc ${CMAKE_SOURCE_DIR}/${folder}/*/*.cc)
  list(APPEND core ${sources})
endforeach()
add_lint_unit(core SOURCES ${core})
foreach(folder gateway cli feeds)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cc ${CMAKE_SOURCE_DIR}/${folder}/*/*.cc)
  add_lint_unit(${folder} SOURCES ${sources})
endforeach()
file(GLOB around CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/broker/*/*.cc ${CMAKE_SOURCE_DIR}/broker/monitoring*.cc
  ${CMAKE_SOURCE_DIR}/broker/nats_conf.cc ${CMAKE_SOURCE_DIR}/broker/options*.cc
  ${CMAKE_SOURCE_DIR}/broker/permissions.cc ${CMAKE_SOURCE_DIR}/broker/websocket*.cc)
add_lint_unit(streams SOURCES ${around})
file(GLOB broker CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/broker/*.cc)
list(REMOVE_ITEM broker ${around})
add_lint_unit(broker SOURCES ${broker})

# The tests of the providers google and google-legacy.
herd_unit_test(google SOURCES test_google.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(web_key SOURCES test_web_key.c LINKS herd_places)
herd_unit_test(google_legacy SOURCES test_google_legacy.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(web_url SOURCES test_web_url.c LINKS herd_places)
# And of overpass, and of what keeps keys and bills small.
herd_unit_test(overpass SOURCES test_overpass.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(secret SOURCES test_secret.c LINKS herd_places)
herd_unit_test(ledger SOURCES test_ledger.c LINKS herd_places)
target_link_options(test_ledger PRIVATE -Wl,--wrap=fsync,--wrap=uv_queue_work)

# The tests of the providers google and google-legacy.
herd_unit_test(google SOURCES test_google.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(web_key SOURCES test_web_key.c LINKS herd_places)
herd_unit_test(google_legacy SOURCES test_google_legacy.c LINKS herd_places PkgConfig::JANSSON)
herd_unit_test(web_url SOURCES test_web_url.c LINKS herd_places)

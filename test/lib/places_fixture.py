"""Places around wherever one asks, in the shapes of Google's two APIs.

One list, two shapes: a test may so compare the providers with each other, place by place.
"""
import math

EARTH_M = 6371008.8

ARCHIVE = ("City Archive", "https://archive.example/mint?a=1&b=2")
PHOTOGRAPHER = "https://maps.example/contrib/17"
ICONS = "https://maps.gstatic.com/mapfiles/place_api/icons/"
CITY = "Mirador 90210, Atlantis"
BUSINESS = ["point_of_interest", "establishment"]

# name, metres east and north of the asked point, types (the primary one first), address, more
PLACES = [
    ("Juniper Hall", 12, 9, ["university", *BUSINESS], "1 Juniper Walk", {}),
    ("Café Zoë – “Zur Post”", -45, 30, ["cafe", "food", *BUSINESS],
     "3 Juniper Walk", {"rating": 4.6, "ratings": 812, "price": "INEXPENSIVE", "open": True}),
    ("Ostrich & Sons <Books>", 70, -15, ["book_store", "store", *BUSINESS],
     "12 Mill Lane", {"rating": 4, "ratings": 31, "price": "MODERATE", "open": False}),
    ("東京らーめん", -120, -40, ["restaurant", "food", *BUSINESS],
     "14 Mill Lane", {"rating": 4.3, "ratings": 1204, "price": "FREE", "open": True}),
    ("Old Mint Museum", 160, 90, ["museum", "tourist_attraction", *BUSINESS],
     "2 Coin Square", {"rating": 4.8, "ratings": 15512, "credits": [ARCHIVE],
                       "photos": [("AUc7tXmint0001", 4032, 3024, "Ann O'Hara", PHOTOGRAPHER)]}),
    ("Platz der Republik", -200, 140, ["park", *BUSINESS], None, {}),
    ("St. Ælfgifu’s Church", 240, -180, ["church", "place_of_worship", *BUSINESS],
     "5 Chantry Row", {"credits": [ARCHIVE, ("Parish", None)]}),
    ("Corner Pharmacy", 20, 310, ["pharmacy", "store", "health", *BUSINESS],
     "77 North Street", {"closed": "CLOSED_TEMPORARILY"}),
    ("The Last Picture House", -340, -60, ["movie_theater", *BUSINESS],
     "9 Lumière Street", {"closed": "CLOSED_PERMANENTLY"}),
    ("Meridian Station", 400, 20, ["train_station", "transit_station", *BUSINESS],
     "Station Approach", {}),
    ("Harbour Bank", -80, 450, ["bank", "finance", *BUSINESS], "1 Quay", {}),
    ("Quay Street Gym", 130, -500, ["gym", "health", *BUSINESS], "8 Quay", {}),
    ("Fire Station 7", -560, 200, ["fire_station", *BUSINESS], "20 Ladder Road", {}),
    ("Northgate Hospital", 300, 640, ["hospital", "health", *BUSINESS],
     "100 North Street", {"rating": 3.9, "ratings": 402}),
    ("Green Door Inn", -700, -300, ["lodging", *BUSINESS], "4 Green Lane",
     {"rating": 4.1, "ratings": 77, "price": "VERY_EXPENSIVE"}),
    ("Central Library", 810, 50, ["library", *BUSINESS], "6 Coin Square", {}),
    ("Weir Supermarket", -60, -905, ["supermarket", "store", "food", *BUSINESS],
     "50 Weir Road", {"price": "EXPENSIVE"}),
    ("Riverside Stadium", 1020, 400, ["stadium", *BUSINESS], "Stadium Way", {}),
    ("Aquarium", -1200, 350, ["aquarium", "tourist_attraction", *BUSINESS], "2 Quay", {}),
    ("Town Hall", 500, -1250, ["city_hall", "local_government_office", *BUSINESS],
     "1 Coin Square", {}),
    ("Westfield Airstrip", -2600, 900, ["airport", *BUSINESS], "Field Road", {}),
    ("Eastmarket", 4800, -700, ["neighborhood", "political"], None, {}),
    ("Hilltop Observatory", 3000, 7000, ["tourist_attraction", *BUSINESS], "Summit", {}),
    ("Southport", -9000, -16000, ["locality", "political"], None, {}),
]


def distance_m(latitude1, longitude1, latitude2, longitude2):
    """Great-circle distance by the haversine formula."""
    a, b = math.radians(latitude1), math.radians(latitude2)
    half = (math.sin((b - a) / 2) ** 2
            + math.cos(a) * math.cos(b) * math.sin(math.radians(longitude2 - longitude1) / 2) ** 2)
    return 2 * EARTH_M * math.asin(math.sqrt(half))


def _place(i, latitude, longitude):
    name, east, north, types, address, more = PLACES[i]
    latitude = max(-90.0, min(90.0, latitude + math.degrees(north / EARTH_M)))
    shrink = max(0.01, math.cos(math.radians(latitude)))
    longitude = (longitude + math.degrees(east / EARTH_M / shrink) + 180) % 360 - 180
    return {"id": f"ChIJ{i:04d}standInPlace{i * 7919 % 10000:04d}", "name": name, "types": types,
            "address": address, "latitude": round(latitude, 7), "longitude": round(longitude, 7),
            "code": f"{i + 20:02d}H{i % 10}+HX", **more}


def around(latitude, longitude, radius_m):
    """The places within the radius, nearest first."""
    places = [_place(i, latitude, longitude) for i in range(len(PLACES))]
    for place in places:
        place["distance"] = distance_m(latitude, longitude, place["latitude"], place["longitude"])
    return sorted((p for p in places if p["distance"] <= radius_m), key=lambda p: p["distance"])


OSM_TAGS = {"university": ("amenity", "university"), "book_store": ("shop", "books"),
            "park": ("leisure", "park"), "church": ("amenity", "place_of_worship"),
            "museum": ("tourism", "museum"), "lodging": ("tourism", "hotel")}


def to_osm(place):
    """As Overpass has it: every other one a way with a centre."""
    key, value = OSM_TAGS.get(place["types"][0], ("amenity", place["types"][0]))
    number, at = int(place["id"][4:8]), {"lat": place["latitude"], "lon": place["longitude"]}
    tags = {"name": place["name"], key: value}
    if value == "place_of_worship":
        tags["religion"] = "christian"
    if place["address"]:
        house, _, street = place["address"].partition(" ")
        tags.update({"addr:housenumber": house, "addr:street": street, "addr:city": "Mirador"})
    if number % 2:
        return {"type": "way", "id": number, "center": at, "tags": tags}
    return {"type": "node", "id": number, **at, "tags": tags}


def to_new(place):
    """As Places API (New) has it, every field that the field mask may ask for."""
    new = {
        "name": "places/" + place["id"],
        "id": place["id"],
        "types": place["types"],
        "formattedAddress": (place["address"] + ", " if place["address"] else "") + CITY,
        "location": {"latitude": place["latitude"], "longitude": place["longitude"]},
        "viewport": {
            "low": {"latitude": place["latitude"] - 0.0013489802915021,
                    "longitude": place["longitude"] - 0.0013489802915021},
            "high": {"latitude": place["latitude"] + 0.0013489802915021,
                     "longitude": place["longitude"] + 0.0013489802915021}},
        "businessStatus": place.get("closed", "OPERATIONAL"),
        "displayName": {"text": place["name"], "languageCode": "en"},
        "primaryType": place["types"][0],
        "plusCode": {"globalCode": "8563" + place["code"],
                     "compoundCode": place["code"] + " Mirador, Atlantis"},
        "iconMaskBaseUri": ICONS + "v2/generic_pinlet",
        "iconBackgroundColor": "#7B9EB0",
    }
    if place["address"]:
        new["shortFormattedAddress"] = place["address"] + ", Mirador"
    if "rating" in place:
        new["rating"], new["userRatingCount"] = place["rating"], place["ratings"]
    if "price" in place:
        new["priceLevel"] = "PRICE_LEVEL_" + place["price"]
    if "open" in place:
        new["currentOpeningHours"] = {"openNow": place["open"], "weekdayDescriptions": []}
    if "credits" in place:
        new["attributions"] = [{"provider": who, **({"providerUri": uri} if uri else {})}
                               for who, uri in place["credits"]]
    if "photos" in place:
        new["photos"] = [{"name": f"places/{place['id']}/photos/{reference}",
                          "widthPx": width, "heightPx": height,
                          "authorAttributions": [{"displayName": author, "uri": uri}]}
                         for reference, width, height, author, uri in place["photos"]]
    return new


def to_legacy(place):
    """As the legacy Nearby Search has it."""
    def corner(sign):
        return {"lat": place["latitude"] + sign * 0.0013489802915021,
                "lng": place["longitude"] + sign * 0.0013489802915021}
    legacy = {
        "business_status": place.get("closed", "OPERATIONAL"),
        "geometry": {"location": {"lat": place["latitude"], "lng": place["longitude"]},
                     "viewport": {"northeast": corner(+1), "southwest": corner(-1)}},
        "icon": ICONS + "v1/png_71/generic_business-71.png",
        "icon_background_color": "#7B9EB0",
        "icon_mask_base_uri": ICONS + "v2/generic_pinlet",
        "name": place["name"],
        "place_id": place["id"],
        "plus_code": {"compound_code": place["code"] + " Mirador, Atlantis",
                      "global_code": "8563" + place["code"]},
        "reference": place["id"],
        "scope": "GOOGLE",
        "types": place["types"],
        "vicinity": place["address"] + ", Mirador" if place["address"] else CITY,
    }
    if place.get("closed") == "CLOSED_PERMANENTLY":
        legacy["permanently_closed"] = True
    if "rating" in place:
        legacy["rating"], legacy["user_ratings_total"] = place["rating"], place["ratings"]
    if "price" in place:
        levels = ["FREE", "INEXPENSIVE", "MODERATE", "EXPENSIVE", "VERY_EXPENSIVE"]
        legacy["price_level"] = levels.index(place["price"])
    if "open" in place:
        legacy["opening_hours"] = {"open_now": place["open"]}
    if "photos" in place:
        legacy["photos"] = [{"height": height, "width": width, "photo_reference": reference,
                             "html_attributions": [f'<a href="{uri}">{author}</a>']}
                            for reference, width, height, author, uri in place["photos"]]
    return legacy

def makehuman_to_contest(asset):
    return asset

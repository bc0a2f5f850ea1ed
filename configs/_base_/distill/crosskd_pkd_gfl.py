"""CrossKD behind the third layer of GFL's towers, and PKD on all levels: the recommended recipe for GFL from GFL."""

distill = dict(
    terms=[
        dict(type="CrossKD", depth=3, cls_weight=1.0, box_weight=4.0),
        dict(type="PKD", weight=6.0),
    ],
)

"""270k steps of 16 images, AdamW, lr 1e-4, a tenth from steps 210k and 250k on; decay on all, as LGD trains Swin."""

_base_ = "detectron2_2x.py"

optimizer = dict(type="AdamW", lr=0.0001, weight_decay=0.05, grad_clip=dict(max_value=1.0), _cover_=True)
scheduler = dict(milestones=[210000, 250000])
max_iter = 270000

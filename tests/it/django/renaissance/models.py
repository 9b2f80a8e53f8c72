"""Renaissance's tables, as its own migrations made them: `managed = False`, no default in the database."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class User(AbstractUser):
    email = models.EmailField(unique=True, null=True)
    phone_number = models.CharField(max_length=20, unique=True, null=True)
    country_code = models.CharField(max_length=5, default="1")
    is_phone_verified = models.BooleanField(default=False)
    migrated_from_old_system = models.BooleanField(default=False)
    old_user_id = models.CharField(max_length=100, null=True)
    bio = models.TextField(default="", blank=True)
    profile_picture = models.URLField(default="", blank=True)
    date_of_birth = models.DateField(null=True)
    google_id = models.CharField(max_length=100, default="", blank=True)
    apple_id = models.CharField(max_length=100, default="", blank=True)
    is_verified = models.BooleanField(default=False)
    subscription_status = models.CharField(max_length=20, default="free")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "users"


class UserProfile(models.Model):
    user = models.OneToOneField(User, models.CASCADE, related_name="profile")
    profile_visibility = models.CharField(max_length=20, default="public")
    email_notifications = models.BooleanField(default=True)
    push_notifications = models.BooleanField(default=True)
    sms_notifications = models.BooleanField(default=False)
    theme = models.CharField(max_length=20, default="auto")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        managed = False
        db_table = "user_profiles"


class Biograph(models.Model):
    user = models.ForeignKey(User, models.CASCADE)
    title = models.CharField(max_length=120)
    record_text = models.TextField(null=True)
    record_time = models.IntegerField(default=0)
    words_count = models.CharField(max_length=120, null=True)
    photo_url = models.URLField(null=True)
    record_url = models.URLField(null=True)
    video_url = models.URLField(null=True)
    biograph_type = models.CharField(max_length=1, default="1")
    all_keywords = models.JSONField(default=list)
    location = models.CharField(max_length=120, null=True)
    co_authors = models.JSONField(default=list)
    books = models.JSONField(default=list)
    monologues = models.JSONField(default=dict)
    is_published = models.BooleanField(default=False)
    is_removed = models.BooleanField(default=False)
    status_key = models.IntegerField(default=1)
    last_played_record = models.CharField(max_length=120, default="")
    last_updated_title = models.JSONField(default=dict)
    created_date = models.DateTimeField(auto_now_add=True)
    updated_date = models.DateTimeField(auto_now=True)
    migrated_from_old_system = models.BooleanField(default=False)
    old_biograph_id = models.CharField(max_length=100, null=True)

    class Meta:
        managed = False
        db_table = "biographs"

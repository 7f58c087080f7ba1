using System;
using Microsoft.EntityFrameworkCore.Migrations;
using Npgsql.EntityFrameworkCore.PostgreSQL.Metadata;

#nullable disable

namespace Librarian.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "catalog_incarnations",
                columns: table => new
                {
                    id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    started_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    counter = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_catalog_incarnations", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "corrupt_files",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    file_source = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    instance_id = table.Column<long>(type: "bigint", nullable: false),
                    instance_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    corrupt_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    count = table.Column<int>(type: "integer", nullable: false),
                    replacement_requested = table.Column<bool>(type: "boolean", nullable: false),
                    incoming_transfer_id = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_corrupt_files", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "drive_arrivals",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_id = table.Column<Guid>(type: "uuid", nullable: false),
                    trip = table.Column<int>(type: "integer", nullable: false),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    source = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    mount_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    data_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    is_upstream = table.Column<bool>(type: "boolean", nullable: false),
                    manifest_sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    state_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    files = table.Column<long>(type: "bigint", nullable: false),
                    bytes = table.Column<long>(type: "bigint", nullable: false),
                    position = table.Column<long>(type: "bigint", nullable: false),
                    files_done = table.Column<long>(type: "bigint", nullable: false),
                    bytes_done = table.Column<long>(type: "bigint", nullable: false),
                    problem = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_arrivals", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "errors",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    severity = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    category = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    message = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    raised_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    cleared_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    cleared = table.Column<bool>(type: "boolean", nullable: false),
                    caller = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_errors", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "files",
                columns: table => new
                {
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    create_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    uploader = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    source = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    tree_digest = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_files", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "librarians",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    url = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    port = table.Column<int>(type: "integer", nullable: false),
                    authenticator = table.Column<string>(type: "character varying(1024)", maxLength: 1024, nullable: false, collation: "C"),
                    transfers_enabled = table.Column<bool>(type: "boolean", nullable: false),
                    last_seen = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    last_heard = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    full_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    catalog_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    catalog_seen = table.Column<string>(type: "character varying(512)", maxLength: 512, nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_librarians", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "send_queue",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    priority = table.Column<int>(type: "integer", nullable: false),
                    created_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    retries = table.Column<int>(type: "integer", nullable: false),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    consumed = table.Column<bool>(type: "boolean", nullable: false),
                    consumed_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    completed = table.Column<bool>(type: "boolean", nullable: false),
                    completed_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    failed = table.Column<bool>(type: "boolean", nullable: false),
                    orchestration_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_send_queue", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "site",
                columns: table => new
                {
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    catalog_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_site", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "site_keys",
                columns: table => new
                {
                    site = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    public_key = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    pinned_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    how = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_site_keys", x => x.site);
                });

            migrationBuilder.CreateTable(
                name: "store_metadata",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    ingestable = table.Column<bool>(type: "boolean", nullable: false),
                    enabled = table.Column<bool>(type: "boolean", nullable: false),
                    store_type = table.Column<int>(type: "integer", nullable: false),
                    store_data = table.Column<string>(type: "text", nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_store_metadata", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "timer_status",
                columns: table => new
                {
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    schedule = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    last_run = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    next_run = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    last_updated = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    lease_owner = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    lease_until = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    version = table.Column<long>(type: "bigint", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_timer_status", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "users",
                columns: table => new
                {
                    username = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    auth_token = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    auth_level = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_users", x => x.username);
                });

            migrationBuilder.CreateTable(
                name: "drive_arrival_files",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    arrival_id = table.Column<long>(type: "bigint", nullable: false),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    outgoing_transfer_id = table.Column<long>(type: "bigint", nullable: false),
                    outcome = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    store_id = table.Column<long>(type: "bigint", nullable: true),
                    message = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    told = table.Column<bool>(type: "boolean", nullable: false),
                    refusal = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_arrival_files", x => x.id);
                    table.ForeignKey(
                        name: "FK_drive_arrival_files_drive_arrivals_arrival_id",
                        column: x => x.arrival_id,
                        principalTable: "drive_arrivals",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "remote_instances",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    store_id = table.Column<long>(type: "bigint", nullable: false),
                    librarian_id = table.Column<long>(type: "bigint", nullable: false),
                    copy_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    sender = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    unconfirmed_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_remote_instances", x => x.id);
                    table.ForeignKey(
                        name: "FK_remote_instances_files_file_name",
                        column: x => x.file_name,
                        principalTable: "files",
                        principalColumn: "name",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_remote_instances_librarians_librarian_id",
                        column: x => x.librarian_id,
                        principalTable: "librarians",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "completed_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false),
                    task_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    source_endpoint_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    destination_endpoint_id = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    start_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    end_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    duration_seconds = table.Column<double>(type: "double precision", nullable: false),
                    bytes_transferred = table.Column<long>(type: "bigint", nullable: false),
                    effective_bandwidth_bps = table.Column<double>(type: "double precision", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_completed_transfers", x => x.id);
                    table.ForeignKey(
                        name: "FK_completed_transfers_send_queue_id",
                        column: x => x.id,
                        principalTable: "send_queue",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateTable(
                name: "drives",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_id = table.Column<Guid>(type: "uuid", nullable: false),
                    name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    store_id = table.Column<long>(type: "bigint", nullable: false),
                    mount_path = table.Column<string>(type: "text", nullable: false, collation: "C"),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    full_fraction = table.Column<double>(type: "double precision", nullable: false),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    state_since = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    trip = table.Column<int>(type: "integer", nullable: false),
                    manifest_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    manifest_sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    manifest_on_drive = table.Column<bool>(type: "boolean", nullable: false),
                    problem = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drives", x => x.id);
                    table.ForeignKey(
                        name: "FK_drives_store_metadata_store_id",
                        column: x => x.store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "incoming_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    status = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    uploader = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    upload_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    source = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    transfer_size = table.Column<long>(type: "bigint", nullable: false),
                    transfer_checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    tree_digest = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    store_id = table.Column<long>(type: "bigint", nullable: true),
                    transfer_manager_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    start_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    end_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    staging_path = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    store_path = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    source_transfer_id = table.Column<long>(type: "bigint", nullable: true),
                    placing = table.Column<bool>(type: "boolean", nullable: false),
                    callback_tries = table.Column<int>(type: "integer", nullable: true),
                    // The default is written by hand: catalogs of the earlier migrations have it (EarlierMigrations).
                    flush_begun = table.Column<bool>(type: "boolean", nullable: false, defaultValue: false),
                    failure_reason = table.Column<string>(type: "text", nullable: true, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_incoming_transfers", x => x.id);
                    table.ForeignKey(
                        name: "FK_incoming_transfers_store_metadata_store_id",
                        column: x => x.store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "instances",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    path = table.Column<string>(type: "character varying(4096)", maxLength: 4096, nullable: false, collation: "C"),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    store_id = table.Column<long>(type: "bigint", nullable: false),
                    deletion_policy = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    created_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    available = table.Column<bool>(type: "boolean", nullable: false),
                    calculated_checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    calculated_size = table.Column<long>(type: "bigint", nullable: true),
                    checksum_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    fingerprint = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    verified_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_instances", x => x.id);
                    table.ForeignKey(
                        name: "FK_instances_files_file_name",
                        column: x => x.file_name,
                        principalTable: "files",
                        principalColumn: "name",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_instances_store_metadata_store_id",
                        column: x => x.store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "drive_contents",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    drive_row = table.Column<long>(type: "bigint", nullable: false),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    state = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    addition_id = table.Column<Guid>(type: "uuid", nullable: false),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    members = table.Column<long>(type: "bigint", nullable: false),
                    outgoing_transfer_id = table.Column<long>(type: "bigint", nullable: true),
                    retry_after = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    failures = table.Column<int>(type: "integer", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_contents", x => x.id);
                    table.ForeignKey(
                        name: "FK_drive_contents_drives_drive_row",
                        column: x => x.drive_row,
                        principalTable: "drives",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "clone_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    status = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    start_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    end_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    source_store_id = table.Column<long>(type: "bigint", nullable: false),
                    destination_store_id = table.Column<long>(type: "bigint", nullable: false),
                    transfer_manager_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    source_instance_id = table.Column<long>(type: "bigint", nullable: true),
                    destination_instance_id = table.Column<long>(type: "bigint", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_clone_transfers", x => x.id);
                    table.ForeignKey(
                        name: "FK_clone_transfers_instances_destination_instance_id",
                        column: x => x.destination_instance_id,
                        principalTable: "instances",
                        principalColumn: "id",
                        onDelete: ReferentialAction.SetNull);
                    table.ForeignKey(
                        name: "FK_clone_transfers_instances_source_instance_id",
                        column: x => x.source_instance_id,
                        principalTable: "instances",
                        principalColumn: "id",
                        onDelete: ReferentialAction.SetNull);
                    table.ForeignKey(
                        name: "FK_clone_transfers_store_metadata_destination_store_id",
                        column: x => x.destination_store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                    table.ForeignKey(
                        name: "FK_clone_transfers_store_metadata_source_store_id",
                        column: x => x.source_store_id,
                        principalTable: "store_metadata",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Restrict);
                });

            migrationBuilder.CreateTable(
                name: "outgoing_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "bigint", nullable: false)
                        .Annotation("Npgsql:ValueGenerationStrategy", NpgsqlValueGenerationStrategy.IdentityByDefaultColumn),
                    status = table.Column<string>(type: "character varying(16)", maxLength: 16, nullable: false),
                    destination = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    transfer_size = table.Column<long>(type: "bigint", nullable: false),
                    transfer_checksum = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    start_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: false),
                    end_time = table.Column<DateTime>(type: "timestamp with time zone", nullable: true),
                    file_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C"),
                    instance_id = table.Column<long>(type: "bigint", nullable: true),
                    remote_transfer_id = table.Column<long>(type: "bigint", nullable: true),
                    transfer_manager_name = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: true, collation: "C"),
                    send_queue_id = table.Column<long>(type: "bigint", nullable: true),
                    source_path = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    dest_path = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    failure_reason = table.Column<string>(type: "text", nullable: true, collation: "C"),
                    retry_after = table.Column<DateTime>(type: "timestamp with time zone", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_outgoing_transfers", x => x.id);
                    table.ForeignKey(
                        name: "FK_outgoing_transfers_files_file_name",
                        column: x => x.file_name,
                        principalTable: "files",
                        principalColumn: "name",
                        onDelete: ReferentialAction.Cascade);
                    table.ForeignKey(
                        name: "FK_outgoing_transfers_instances_instance_id",
                        column: x => x.instance_id,
                        principalTable: "instances",
                        principalColumn: "id",
                        onDelete: ReferentialAction.SetNull);
                    table.ForeignKey(
                        name: "FK_outgoing_transfers_send_queue_send_queue_id",
                        column: x => x.send_queue_id,
                        principalTable: "send_queue",
                        principalColumn: "id",
                        onDelete: ReferentialAction.SetNull);
                });

            migrationBuilder.CreateTable(
                name: "drive_members",
                columns: table => new
                {
                    content_id = table.Column<long>(type: "bigint", nullable: false),
                    path = table.Column<string>(type: "character varying(4096)", maxLength: 4096, nullable: false, collation: "C"),
                    size = table.Column<long>(type: "bigint", nullable: false),
                    sha256 = table.Column<string>(type: "character varying(256)", maxLength: 256, nullable: false, collation: "C")
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_drive_members", x => new { x.content_id, x.path });
                    table.ForeignKey(
                        name: "FK_drive_members_drive_contents_content_id",
                        column: x => x.content_id,
                        principalTable: "drive_contents",
                        principalColumn: "id",
                        onDelete: ReferentialAction.Cascade);
                });

            migrationBuilder.CreateIndex(
                name: "IX_catalog_incarnations_started_time",
                table: "catalog_incarnations",
                column: "started_time");

            migrationBuilder.CreateIndex(
                name: "IX_clone_transfers_destination_instance_id",
                table: "clone_transfers",
                column: "destination_instance_id");

            migrationBuilder.CreateIndex(
                name: "IX_clone_transfers_destination_store_id",
                table: "clone_transfers",
                column: "destination_store_id");

            migrationBuilder.CreateIndex(
                name: "IX_clone_transfers_source_instance_id",
                table: "clone_transfers",
                column: "source_instance_id");

            migrationBuilder.CreateIndex(
                name: "IX_clone_transfers_source_store_id",
                table: "clone_transfers",
                column: "source_store_id");

            migrationBuilder.CreateIndex(
                name: "IX_completed_transfers_task_id",
                table: "completed_transfers",
                column: "task_id",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_corrupt_files_file_name",
                table: "corrupt_files",
                column: "file_name");

            migrationBuilder.CreateIndex(
                name: "IX_corrupt_files_instance_id",
                table: "corrupt_files",
                column: "instance_id");

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_file_name",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "file_name" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_outcome_id",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "outcome", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrival_files_arrival_id_told_id",
                table: "drive_arrival_files",
                columns: new[] { "arrival_id", "told", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_arrivals_drive_id_trip",
                table: "drive_arrivals",
                columns: new[] { "drive_id", "trip" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_drive_row_id",
                table: "drive_contents",
                columns: new[] { "drive_row", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_drive_row_state_id",
                table: "drive_contents",
                columns: new[] { "drive_row", "state", "id" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_file_name_destination_state",
                table: "drive_contents",
                columns: new[] { "file_name", "destination", "state" });

            migrationBuilder.CreateIndex(
                name: "IX_drive_contents_outgoing_transfer_id",
                table: "drive_contents",
                column: "outgoing_transfer_id");

            migrationBuilder.CreateIndex(
                name: "ux_drive_contents_one_drive",
                table: "drive_contents",
                columns: new[] { "file_name", "destination" },
                unique: true,
                filter: "state in ('COPYING','STORED')");

            migrationBuilder.CreateIndex(
                name: "IX_drives_drive_id",
                table: "drives",
                column: "drive_id",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drives_name",
                table: "drives",
                column: "name",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_drives_store_id",
                table: "drives",
                column: "store_id",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_errors_cleared_raised_time",
                table: "errors",
                columns: new[] { "cleared", "raised_time" });

            migrationBuilder.CreateIndex(
                name: "IX_files_create_time_name",
                table: "files",
                columns: new[] { "create_time", "name" });

            migrationBuilder.CreateIndex(
                name: "IX_files_source_create_time_name",
                table: "files",
                columns: new[] { "source", "create_time", "name" },
                descending: new[] { false, true, false });

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader_create_time_name",
                table: "files",
                columns: new[] { "uploader", "create_time", "name" },
                descending: new[] { false, true, false });

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader_source_create_time_name",
                table: "files",
                columns: new[] { "uploader", "source", "create_time", "name" },
                descending: new[] { false, false, true, false });

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_staging_path",
                table: "incoming_transfers",
                column: "staging_path");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_status_start_time",
                table: "incoming_transfers",
                columns: new[] { "status", "start_time" });

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_id_status_transfer_size",
                table: "incoming_transfers",
                columns: new[] { "store_id", "status", "transfer_size" });

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_path_status",
                table: "incoming_transfers",
                columns: new[] { "store_path", "status" });

            migrationBuilder.CreateIndex(
                name: "ix_incoming_transfers_callback",
                table: "incoming_transfers",
                columns: new[] { "source", "callback_tries", "id" },
                filter: "callback_tries is not null");

            migrationBuilder.CreateIndex(
                name: "ux_incoming_transfers_placing",
                table: "incoming_transfers",
                column: "store_path",
                unique: true,
                filter: "\"placing\"");

            migrationBuilder.CreateIndex(
                name: "IX_instances_file_name_store_id",
                table: "instances",
                columns: new[] { "file_name", "store_id" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_instances_store_id_created_time",
                table: "instances",
                columns: new[] { "store_id", "created_time" });

            migrationBuilder.CreateIndex(
                name: "IX_instances_store_id_path",
                table: "instances",
                columns: new[] { "store_id", "path" });

            migrationBuilder.CreateIndex(
                name: "IX_librarians_name",
                table: "librarians",
                column: "name",
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_outgoing_transfers_destination_status_start_time",
                table: "outgoing_transfers",
                columns: new[] { "destination", "status", "start_time" });

            migrationBuilder.CreateIndex(
                name: "IX_outgoing_transfers_file_name_destination_status",
                table: "outgoing_transfers",
                columns: new[] { "file_name", "destination", "status" });

            migrationBuilder.CreateIndex(
                name: "IX_outgoing_transfers_instance_id",
                table: "outgoing_transfers",
                column: "instance_id");

            migrationBuilder.CreateIndex(
                name: "IX_outgoing_transfers_send_queue_id_status",
                table: "outgoing_transfers",
                columns: new[] { "send_queue_id", "status" });

            migrationBuilder.CreateIndex(
                name: "ux_outgoing_transfers_in_flight",
                table: "outgoing_transfers",
                columns: new[] { "file_name", "destination" },
                unique: true,
                filter: "status in ('INITIATED','ONGOING','STAGED')");

            migrationBuilder.CreateIndex(
                name: "IX_remote_instances_file_name_librarian_id_store_id",
                table: "remote_instances",
                columns: new[] { "file_name", "librarian_id", "store_id" },
                unique: true);

            migrationBuilder.CreateIndex(
                name: "IX_remote_instances_librarian_id",
                table: "remote_instances",
                column: "librarian_id");

            migrationBuilder.CreateIndex(
                name: "ix_remote_instances_unconfirmed",
                table: "remote_instances",
                columns: new[] { "librarian_id", "unconfirmed_since" },
                filter: "unconfirmed_since is not null");

            migrationBuilder.CreateIndex(
                name: "IX_send_queue_destination_completed",
                table: "send_queue",
                columns: new[] { "destination", "completed" });

            migrationBuilder.CreateIndex(
                name: "IX_store_metadata_name",
                table: "store_metadata",
                column: "name",
                unique: true);
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "catalog_incarnations");

            migrationBuilder.DropTable(
                name: "clone_transfers");

            migrationBuilder.DropTable(
                name: "completed_transfers");

            migrationBuilder.DropTable(
                name: "corrupt_files");

            migrationBuilder.DropTable(
                name: "drive_arrival_files");

            migrationBuilder.DropTable(
                name: "drive_members");

            migrationBuilder.DropTable(
                name: "errors");

            migrationBuilder.DropTable(
                name: "incoming_transfers");

            migrationBuilder.DropTable(
                name: "outgoing_transfers");

            migrationBuilder.DropTable(
                name: "remote_instances");

            migrationBuilder.DropTable(
                name: "site");

            migrationBuilder.DropTable(
                name: "site_keys");

            migrationBuilder.DropTable(
                name: "timer_status");

            migrationBuilder.DropTable(
                name: "users");

            migrationBuilder.DropTable(
                name: "drive_arrivals");

            migrationBuilder.DropTable(
                name: "drive_contents");

            migrationBuilder.DropTable(
                name: "instances");

            migrationBuilder.DropTable(
                name: "send_queue");

            migrationBuilder.DropTable(
                name: "librarians");

            migrationBuilder.DropTable(
                name: "drives");

            migrationBuilder.DropTable(
                name: "files");

            migrationBuilder.DropTable(
                name: "store_metadata");
        }
    }
}

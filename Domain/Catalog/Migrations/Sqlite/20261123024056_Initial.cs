using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Sqlite
{
    /// <inheritdoc />
    public partial class Initial : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.CreateTable(
                name: "corrupt_files",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    file_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    file_source = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    instance_id = table.Column<long>(type: "INTEGER", nullable: false),
                    instance_path = table.Column<string>(type: "TEXT", nullable: false),
                    corrupt_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    size = table.Column<long>(type: "INTEGER", nullable: false),
                    checksum = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    count = table.Column<int>(type: "INTEGER", nullable: false),
                    replacement_requested = table.Column<bool>(type: "INTEGER", nullable: false),
                    incoming_transfer_id = table.Column<long>(type: "INTEGER", nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_corrupt_files", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "errors",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    severity = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    category = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    message = table.Column<string>(type: "TEXT", nullable: false),
                    raised_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    cleared_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    cleared = table.Column<bool>(type: "INTEGER", nullable: false),
                    caller = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_errors", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "files",
                columns: table => new
                {
                    name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    create_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    size = table.Column<long>(type: "INTEGER", nullable: false),
                    checksum = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    uploader = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    source = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_files", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "librarians",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    url = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    port = table.Column<int>(type: "INTEGER", nullable: false),
                    authenticator = table.Column<string>(type: "TEXT", maxLength: 1024, nullable: false),
                    transfers_enabled = table.Column<bool>(type: "INTEGER", nullable: false),
                    last_seen = table.Column<DateTime>(type: "TEXT", nullable: false),
                    last_heard = table.Column<DateTime>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_librarians", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "send_queue",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    priority = table.Column<int>(type: "INTEGER", nullable: false),
                    created_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    retries = table.Column<int>(type: "INTEGER", nullable: false),
                    destination = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    consumed = table.Column<bool>(type: "INTEGER", nullable: false),
                    consumed_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    completed = table.Column<bool>(type: "INTEGER", nullable: false),
                    completed_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    failed = table.Column<bool>(type: "INTEGER", nullable: false),
                    orchestration_id = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_send_queue", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "site",
                columns: table => new
                {
                    name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_site", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "store_metadata",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    ingestable = table.Column<bool>(type: "INTEGER", nullable: false),
                    enabled = table.Column<bool>(type: "INTEGER", nullable: false),
                    store_type = table.Column<int>(type: "INTEGER", nullable: false),
                    store_data = table.Column<string>(type: "TEXT", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_store_metadata", x => x.id);
                });

            migrationBuilder.CreateTable(
                name: "timer_status",
                columns: table => new
                {
                    name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    schedule = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    last_run = table.Column<DateTime>(type: "TEXT", nullable: true),
                    next_run = table.Column<DateTime>(type: "TEXT", nullable: false),
                    last_updated = table.Column<DateTime>(type: "TEXT", nullable: false),
                    lease_owner = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    lease_until = table.Column<DateTime>(type: "TEXT", nullable: true),
                    version = table.Column<long>(type: "INTEGER", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_timer_status", x => x.name);
                });

            migrationBuilder.CreateTable(
                name: "users",
                columns: table => new
                {
                    username = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    auth_token = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    auth_level = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_users", x => x.username);
                });

            migrationBuilder.CreateTable(
                name: "remote_instances",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    file_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    store_id = table.Column<long>(type: "INTEGER", nullable: false),
                    librarian_id = table.Column<long>(type: "INTEGER", nullable: false),
                    copy_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    sender = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false)
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
                    id = table.Column<long>(type: "INTEGER", nullable: false),
                    task_id = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    source_endpoint_id = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    destination_endpoint_id = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    start_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    end_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    duration_seconds = table.Column<double>(type: "REAL", nullable: false),
                    bytes_transferred = table.Column<long>(type: "INTEGER", nullable: false),
                    effective_bandwidth_bps = table.Column<double>(type: "REAL", nullable: false)
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
                name: "incoming_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    status = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false),
                    uploader = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    upload_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    source = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    transfer_size = table.Column<long>(type: "INTEGER", nullable: false),
                    transfer_checksum = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    store_id = table.Column<long>(type: "INTEGER", nullable: true),
                    transfer_manager_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    start_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    end_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    staging_path = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    store_path = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    source_transfer_id = table.Column<long>(type: "INTEGER", nullable: true),
                    placing = table.Column<bool>(type: "INTEGER", nullable: false),
                    failure_reason = table.Column<string>(type: "TEXT", nullable: true)
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
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    path = table.Column<string>(type: "TEXT", maxLength: 4096, nullable: false),
                    file_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    store_id = table.Column<long>(type: "INTEGER", nullable: false),
                    deletion_policy = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false),
                    created_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    available = table.Column<bool>(type: "INTEGER", nullable: false),
                    calculated_checksum = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    calculated_size = table.Column<long>(type: "INTEGER", nullable: true),
                    checksum_time = table.Column<DateTime>(type: "TEXT", nullable: true)
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
                name: "clone_transfers",
                columns: table => new
                {
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    status = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false),
                    start_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    end_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    source_store_id = table.Column<long>(type: "INTEGER", nullable: false),
                    destination_store_id = table.Column<long>(type: "INTEGER", nullable: false),
                    transfer_manager_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    source_instance_id = table.Column<long>(type: "INTEGER", nullable: true),
                    destination_instance_id = table.Column<long>(type: "INTEGER", nullable: true)
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
                    id = table.Column<long>(type: "INTEGER", nullable: false)
                        .Annotation("Sqlite:Autoincrement", true),
                    status = table.Column<string>(type: "TEXT", maxLength: 16, nullable: false),
                    destination = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    transfer_size = table.Column<long>(type: "INTEGER", nullable: false),
                    transfer_checksum = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    start_time = table.Column<DateTime>(type: "TEXT", nullable: false),
                    end_time = table.Column<DateTime>(type: "TEXT", nullable: true),
                    file_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: false),
                    instance_id = table.Column<long>(type: "INTEGER", nullable: true),
                    remote_transfer_id = table.Column<long>(type: "INTEGER", nullable: true),
                    transfer_manager_name = table.Column<string>(type: "TEXT", maxLength: 256, nullable: true),
                    send_queue_id = table.Column<long>(type: "INTEGER", nullable: true),
                    source_path = table.Column<string>(type: "TEXT", nullable: true),
                    dest_path = table.Column<string>(type: "TEXT", nullable: true),
                    failure_reason = table.Column<string>(type: "TEXT", nullable: true),
                    retry_after = table.Column<DateTime>(type: "TEXT", nullable: true)
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
                name: "IX_errors_cleared_raised_time",
                table: "errors",
                columns: new[] { "cleared", "raised_time" });

            migrationBuilder.CreateIndex(
                name: "IX_files_create_time_name",
                table: "files",
                columns: new[] { "create_time", "name" });

            migrationBuilder.CreateIndex(
                name: "IX_files_source",
                table: "files",
                column: "source");

            migrationBuilder.CreateIndex(
                name: "IX_files_uploader",
                table: "files",
                column: "uploader");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_staging_path",
                table: "incoming_transfers",
                column: "staging_path");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_status_start_time",
                table: "incoming_transfers",
                columns: new[] { "status", "start_time" });

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_id",
                table: "incoming_transfers",
                column: "store_id");

            migrationBuilder.CreateIndex(
                name: "IX_incoming_transfers_store_path_status",
                table: "incoming_transfers",
                columns: new[] { "store_path", "status" });

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
                name: "clone_transfers");

            migrationBuilder.DropTable(
                name: "completed_transfers");

            migrationBuilder.DropTable(
                name: "corrupt_files");

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
                name: "timer_status");

            migrationBuilder.DropTable(
                name: "users");

            migrationBuilder.DropTable(
                name: "instances");

            migrationBuilder.DropTable(
                name: "send_queue");

            migrationBuilder.DropTable(
                name: "librarians");

            migrationBuilder.DropTable(
                name: "files");

            migrationBuilder.DropTable(
                name: "store_metadata");
        }
    }
}

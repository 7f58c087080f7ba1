using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Librarian.Domain.Catalog.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class PeerCallbacks : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<DateTime>(
                name: "full_since",
                table: "librarians",
                type: "timestamp with time zone",
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "callback_tries",
                table: "incoming_transfers",
                type: "integer",
                nullable: true);

            migrationBuilder.CreateIndex(
                name: "ix_incoming_transfers_callback",
                table: "incoming_transfers",
                columns: new[] { "source", "callback_tries", "id" },
                filter: "callback_tries is not null");
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropIndex(
                name: "ix_incoming_transfers_callback",
                table: "incoming_transfers");

            migrationBuilder.DropColumn(
                name: "full_since",
                table: "librarians");

            migrationBuilder.DropColumn(
                name: "callback_tries",
                table: "incoming_transfers");
        }
    }
}
